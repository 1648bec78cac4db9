/* Wraps a file as a zip archive's one member, stored: write_archive OUT MEMBER. */
#include "archive.h"

#include <stdlib.h>

int main(int count, char **words)
{
    static char bytes[1 << 20];
    archive *a = calloc(1, sizeof *a);
    FILE *member = count == 3 ? fopen(words[2], "rb") : NULL;
    if (!a || !member || !archive_open(a, words[1]))
        return fprintf(stderr, "usage: write_archive OUT MEMBER\n"), 2;
    archive_put(a, words[2], bytes, fread(bytes, 1, sizeof bytes, member));
    fclose(member);
    const int status = archive_close(a);
    free(a);
    return status != 0;
}
