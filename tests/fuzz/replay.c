/* The main() of a fuzz target in builds without libFuzzer: gives it each file named in the
 * arguments once, so that the seeds of tests/fuzz/seeds serve as ordinary tests under every
 * compiler. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../tap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a whole file; the caller frees it. NULL with errno set when that fails. */
static uint8_t *read_file(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    uint8_t *data = NULL;

    if (!file) {
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        rewind(file);
        data = length < 0 ? NULL : malloc((size_t)length + 1);
        if (data) {
            *size = fread(data, 1, (size_t)length, file);
        }
    }
    fclose(file);
    return data;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t size = 0;
        uint8_t *data = read_file(argv[i], &size);
        if (!data) {
            OK(0, "%s: %s", argv[i], strerror(errno));
            continue;
        }
        LLVMFuzzerTestOneInput(data, size);
        OK(1, "%s survives", argv[i]);
        free(data);
    }
    return tap_done();
}
