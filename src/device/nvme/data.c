/* Where a command's data are: PRP entries (4.3) and SGL descriptors (4.4), made into pieces of the
 * host's memory. What they say is checked here, and read once. */
#include <string.h>

#include "base/bytes.h"
#include "device/nvme/nvme.h"

enum {
    PRP_SIZE = 8,
    SGL_SIZE = 16,
    LONGEST_LIST = 1024, /* entries and descriptors of a command, at most */
    SGL_DATA = 0,        /* types */
    SGL_SEGMENT = 2,
    SGL_LAST_SEGMENT = 3,
};

/* What is being mapped. */
typedef struct Mapping {
    Nvme *nvme;
    NvmeData *data;
    u64 left; /* bytes */
    bool in;
    u32 entries; /* read so far */
} Mapping;

/* Takes up to `size` bytes; pieces that follow each other become one. */
static u16 add(Mapping *m, u64 address, u64 size)
{
    NvmeData *data = m->data;

    size = MIN(size, m->left);
    while (size) {
        u64 part = size;
        u8 *host = dma_map(nvme_dma(m->nvme), address, &part, m->in);
        struct iovec *last = data->count ? &data->iov[data->count - 1] : NULL;
        if (!host) {
            return NVME_NO_TRANSFER;
        }
        if (last && (u8 *)last->iov_base + last->iov_len == host) {
            last->iov_len += part;
        } else if (data->count < NVME_IOVECS) {
            data->iov[data->count++] = (struct iovec){host, part};
        } else {
            return NVME_TOO_MANY_DESCRIPTORS | NVME_NO_RETRY;
        }
        address += part;
        size -= part;
        m->left -= part;
    }
    return NVME_SUCCESS;
}

/* A list of PRP entries; the last one of a page goes on with another list, unless it is the end. */
static u16 map_prp_list(Mapping *m, u64 list)
{
    u64 page = nvme_page(m->nvme);
    u16 status = NVME_SUCCESS;

    while (m->left && status == NVME_SUCCESS) {
        bool goes_on = list % page == page - PRP_SIZE && m->left > page;
        u64 entry = dma_read_le(nvme_dma(m->nvme), list, PRP_SIZE);
        if (entry % (goes_on ? PRP_SIZE : page) || m->entries++ == LONGEST_LIST) {
            status = NVME_INVALID_PRP_OFFSET | NVME_NO_RETRY;
        } else if (goes_on) {
            list = entry;
        } else {
            status = add(m, entry, page);
            list += PRP_SIZE;
        }
    }
    return status;
}

static u16 map_prps(Mapping *m, u64 first, u64 second)
{
    u64 page = nvme_page(m->nvme);
    u16 status;

    if (first % 4) {
        return NVME_INVALID_PRP_OFFSET | NVME_NO_RETRY;
    }
    status = add(m, first, page - first % page);
    if (status != NVME_SUCCESS || !m->left) {
        return status;
    }
    if (m->left > page) {
        return second % PRP_SIZE ? NVME_INVALID_PRP_OFFSET | NVME_NO_RETRY
                                 : map_prp_list(m, second);
    }
    return second % page ? NVME_INVALID_PRP_OFFSET | NVME_NO_RETRY : add(m, second, page);
}

static bool is_segment(const u8 *descriptor)
{
    u8 type = descriptor[15] >> 4;

    return type == SGL_SEGMENT || type == SGL_LAST_SEGMENT;
}

static u16 map_descriptor(Mapping *m, const u8 *descriptor)
{
    if (descriptor[15] != SGL_DATA << 4) {
        return NVME_INVALID_SGL_TYPE | NVME_NO_RETRY;
    }
    return add(m, get_le(descriptor, 8), get_le(descriptor + 8, 4));
}

/* The descriptors of a segment; the last may be of the segment that follows, left in *next. */
static u16 map_segment(Mapping *m, const u8 *segment, u8 *next, bool *more)
{
    u64 at = get_le(segment, 8), size = get_le(segment + 8, 4);
    u16 status = NVME_SUCCESS;

    *more = false;
    if (!size || size % SGL_SIZE || segment[15] & 15) {
        return NVME_INVALID_SEGMENT | NVME_NO_RETRY;
    }
    for (; size && m->left && status == NVME_SUCCESS; at += SGL_SIZE, size -= SGL_SIZE) {
        u8 descriptor[SGL_SIZE];
        if (m->entries++ == LONGEST_LIST) {
            return NVME_TOO_MANY_DESCRIPTORS | NVME_NO_RETRY;
        }
        if (!dma_read(nvme_dma(m->nvme), at, descriptor, sizeof descriptor)) {
            return NVME_NO_TRANSFER;
        }
        if (!is_segment(descriptor)) {
            status = map_descriptor(m, descriptor);
        } else if (size > SGL_SIZE || segment[15] >> 4 == SGL_LAST_SEGMENT) {
            return NVME_INVALID_SEGMENT | NVME_NO_RETRY;
        } else {
            memcpy(next, descriptor, SGL_SIZE);
            *more = true;
        }
    }
    return status;
}

static u16 map_sgl(Mapping *m, const u8 *first)
{
    u8 segment[SGL_SIZE];
    u16 status = NVME_SUCCESS;
    bool more = true;

    if (!is_segment(first)) {
        status = map_descriptor(m, first);
    } else {
        memcpy(segment, first, SGL_SIZE);
        while (more && m->left && status == NVME_SUCCESS) {
            status = map_segment(m, segment, segment, &more);
        }
    }
    return status == NVME_SUCCESS && m->left ? NVME_INVALID_SGL_LENGTH | NVME_NO_RETRY : status;
}

u16 nvme_map(Nvme *n, const NvmeCommand *command, u64 bytes, bool in, NvmeData *data)
{
    Mapping m = {n, data, bytes, in, 0};

    data->count = 0;
    switch (command->flags >> 6) {
    case 0:
        return map_prps(&m, get_le(command->data, 8), get_le(command->data + 8, 8));
    case 1:
    case 2:
        return map_sgl(&m, command->data);
    default:
        return NVME_INVALID_FIELD | NVME_NO_RETRY;
    }
}

void nvme_unmap(Nvme *n, NvmeData *data)
{
    for (u32 i = 0; i < data->count; i++) {
        dma_done(nvme_dma(n), data->iov[i].iov_base, data->iov[i].iov_len);
    }
    data->count = 0;
}

u16 nvme_copy_in(Nvme *n, NvmeRequest *r, const void *bytes, u32 size)
{
    const u8 *from = bytes;
    u16 status = nvme_map(n, &r->command, size, true, &r->data);

    for (u32 i = 0; status == NVME_SUCCESS && i < r->data.count; i++) {
        memcpy(r->data.iov[i].iov_base, from, r->data.iov[i].iov_len);
        from += r->data.iov[i].iov_len;
    }
    nvme_unmap(n, &r->data);
    return status;
}

u16 nvme_copy_out(Nvme *n, NvmeRequest *r, void *bytes, u32 size)
{
    u8 *to = bytes;
    u16 status = nvme_map(n, &r->command, size, false, &r->data);

    for (u32 i = 0; status == NVME_SUCCESS && i < r->data.count; i++) {
        memcpy(to, r->data.iov[i].iov_base, r->data.iov[i].iov_len);
        to += r->data.iov[i].iov_len;
    }
    return status;
}
