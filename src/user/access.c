/* Guarded copies between guest and host: see access.h. */
#include "user/access.h"

#include <errno.h>

#include "user/host_stubs.h"

enum { PAGE = 4096, STRING_CHUNK = 128 };

bool copy_from_guest(void *to, u64 from, size_t size)
{
    return guarded_copy(to, guest_to_host(from), size) == 0;
}

bool copy_to_guest(u64 to, const void *from, size_t size)
{
    return guarded_copy(guest_to_host(to), from, size) == 0;
}

s64 copy_string_from_guest(char *to, u64 from, size_t size)
{
    for (size_t length = 0; length < size;) {
        /* A chunk never crosses a page, so that a string that ends before an unmapped page works.
         */
        size_t chunk = MIN((size_t)STRING_CHUNK, PAGE - (size_t)((from + length) % PAGE));
        chunk = MIN(chunk, size - length);
        if (!copy_from_guest(to + length, from + length, chunk)) {
            return -EFAULT;
        }
        const char *end = memchr(to + length, 0, chunk);
        if (end) {
            return end - to;
        }
        length += chunk;
    }
    return -ENAMETOOLONG;
}

bool touch_guest_pages(u64 address, size_t size)
{
    if (size == 0 || address + size < address) {
        return size == 0;
    }
    u64 last = ALIGN_DOWN(address + size - 1, PAGE);
    for (u64 page = ALIGN_DOWN(address, PAGE);; page += PAGE) {
        if (guarded_touch(guest_to_host(MAX(page, address)))) {
            return false;
        }
        if (page >= last) {
            return true;
        }
    }
}
