# Writes C files that hold other files' bytes.
#   cmake -DMODE=kernels -DDIR=kernels -DOUTPUT=sources.c -P embed.cmake     every .cl, behind prelude.cl, math.cl and epilogue.cl
#   cmake -DMODE=data -DINPUT=file -DNAME=clip_merges -DOUTPUT=out.c -P embed.cmake
function(bytes_of path out)
    file(READ "${path}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" hex "${hex}")
    set(${out} "${hex}" PARENT_SCOPE)
endfunction()

if(MODE STREQUAL "data")
    bytes_of("${INPUT}" body)
    file(WRITE "${OUTPUT}" "#include <stddef.h>\n"
        "extern const unsigned char calo_data_${NAME}[];\nextern const size_t calo_data_${NAME}_size;\n"
        "const unsigned char calo_data_${NAME}[] = {\n${body}\n};\n"
        "const size_t calo_data_${NAME}_size = sizeof calo_data_${NAME};\n")
    return()
endif()

file(GLOB files RELATIVE "${DIR}" "${DIR}/*/*.cl")
list(SORT files)
set(text "#include \"sources.h\"\n#include <string.h>\n")
set(rows "")
bytes_of("${DIR}/prelude.cl" prelude)
bytes_of("${DIR}/math.cl" math)
bytes_of("${DIR}/epilogue.cl" epilogue)
set(number 0)
foreach(file ${files})
    bytes_of("${DIR}/${file}" body)
    string(APPEND text "static const char source_${number}[] = {\n${prelude}${math}${epilogue}${body}0\n};\n")
    string(APPEND rows "    { \"${file}\", source_${number} },\n")
    math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "static const struct {\n    const char *name, *text;\n} sources[] = {\n${rows}};\n"
    "const char *calo_kernel_source(const char *name)\n{\n"
    "    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)\n"
    "        if (strcmp(sources[i].name, name) == 0)\n            return sources[i].text;\n    return NULL;\n}\n")
file(WRITE "${OUTPUT}" "${text}")
