/* Fuzz target: the ELF header parser. What it accepts must keep the promises of elf.h, which the
 * loader relies on. */
#include <stdint.h>
#include <stdlib.h>

#include "user/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_segment(const ElfImage *image, const ElfSegment *s, u64 file_size)
{
    require(s->offset <= file_size && s->file_size <= file_size - s->offset);
    require(s->memory_size >= s->file_size && s->memory_size > 0);
    require(s->address + s->memory_size > s->address);
    require(!s->file_size || (s->offset - s->address) % ELF_PAGE == 0);
    require(s->address >= image->low && s->address + s->memory_size <= image->high);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The file may be longer than what was read of it: one byte says by how much. */
    u64 file_size = size + (size ? (u64)data[size - 1] << 12 : 0);
    ElfImage image;
    size_t need;

    const char *error = elf_parse(data, size, file_size, &image, &need);
    require(need <= ELF_MAX_HEAD && (!need || (error && need > size)));
    if (error) {
        return 0;
    }
    require(image.segment_count > 0 && image.segment_count <= ELF_MAX_SEGMENTS);
    require(image.word_size == 4 || image.word_size == 8);
    require(image.low % ELF_PAGE == 0 && image.high % ELF_PAGE == 0 && image.high > image.low);
    require(image.alignment && !(image.alignment & (image.alignment - 1)));
    require(image.interpreter_size <= 4096);
    for (unsigned i = 0; i < image.segment_count; i++) {
        check_segment(&image, &image.segments[i], file_size);
    }
    return 0;
}
