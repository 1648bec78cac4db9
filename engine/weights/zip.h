/* The directory of a zip archive, for torch's files: members are stored, not compressed, so each is a range of the file.
   Source: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3 (Zip64). */
#ifndef CALO_ZIP_H
#define CALO_ZIP_H

#include "../shim.h"

typedef struct calo_zip_member {
    const char *name;
    uint64_t begin, size; /* bytes, from the start of the file; a compressed one has begin 0 */
} calo_zip_member;

typedef struct calo_zip {
    char *names;
    calo_zip_member *members; /* by name */
    int64_t count;
} calo_zip;

/* CALO_EFILE when the directory is damaged or a member lies outside of the file. Close it, whatever came of it. */
calo_status calo_zip_open(const calo_file *file, calo_zip *zip, calo_fault *fault);
void calo_zip_close(calo_zip *zip);
const calo_zip_member *calo_zip_find(const calo_zip *zip, const char *name); /* NULL: no such member */

#endif
