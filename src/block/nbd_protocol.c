/* Error numbers of the NBD protocol ("Error values" in its document). */
#include "block/nbd_protocol.h"

#include <errno.h>

/* What may be sent; the same numbers as Linux's on most of its machines, but not by definition. */
static const struct {
    u32 wire;
    int code;
} errors[] = {
    {1, EPERM},   {5, EIO},        {12, ENOMEM},  {22, EINVAL},
    {28, ENOSPC}, {75, EOVERFLOW}, {95, ENOTSUP}, {108, ESHUTDOWN},
};

u32 nbd_error_to_wire(int result)
{
    switch (-result) {
    case 0:
        return 0;
    case EROFS:
    case EACCES:
        return 1;
    case EFBIG:
    case EDQUOT:
        return 28;
    default:
        break;
    }
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (errors[i].code == -result) {
            return errors[i].wire;
        }
    }
    return 5; /* an I/O error: something went wrong below */
}

int nbd_error_from_wire(u32 error)
{
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (errors[i].wire == error) {
            return -errors[i].code;
        }
    }
    return error ? -EINVAL : 0;
}
