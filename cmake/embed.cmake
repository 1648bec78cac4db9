# Writes C files that hold other files' bytes.
#   cmake -DMODE=kernels -DDIR=kernels -DOUTPUT=sources.c -P embed.cmake     every .cl and .cu, each behind the texts it begins with
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

set(text "#include \"sources.h\"\n#include <string.h>\n")
set(rows "")
set(number 0)

# Adds every kernels/*/*.<kind> behind the texts that all of the kind begin with.
macro(embed_kind kind)
    file(GLOB files RELATIVE "${DIR}" "${DIR}/*/*.${kind}")
    list(SORT files)
    foreach(file ${files})
        bytes_of("${DIR}/${file}" body)
        string(APPEND text "static const char source_${number}[] = {\n${beginning}${body}0\n};\n")
        string(APPEND rows "    { \"${file}\", source_${number} },\n")
        math(EXPR number "${number} + 1")
    endforeach()
endmacro()

bytes_of("${DIR}/prelude.cl" prelude)
bytes_of("${DIR}/math.cl" math)
bytes_of("${DIR}/epilogue.cl" epilogue)
set(beginning "${prelude}${math}${epilogue}")
embed_kind(cl)

bytes_of("${DIR}/prelude.cu" prelude)
bytes_of("${DIR}/ptx.cu" ptx)
bytes_of("${DIR}/ptx90.cu" ptx90)
bytes_of("${DIR}/vector.cu" vector)
bytes_of("${DIR}/math.cu" math)
bytes_of("${DIR}/epilogue.cu" epilogue)
bytes_of("${DIR}/gemm.cu" gemm)
set(beginning "${prelude}${ptx}${ptx90}${vector}${math}${epilogue}${gemm}")
embed_kind(cu)

string(APPEND text "static const struct {\n    const char *name, *text;\n} sources[] = {\n${rows}};\n"
    "const char *calo_kernel_source(const char *name)\n{\n"
    "    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)\n"
    "        if (strcmp(sources[i].name, name) == 0)\n            return sources[i].text;\n    return NULL;\n}\n")
file(WRITE "${OUTPUT}" "${text}")
