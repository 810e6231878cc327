/* ioctl(2): requests and structures that differ between ABIs are converted by the table of
 * linux/ioctls.def; everything else is the kernel's, which checks the pointers. */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "user/access.h"
#include "user/process.h"
#include "user/structs.h"
#include "user/syscall.h"

enum { STRUCT_BYTES = 512, INTERFACES_MAX = 4096 };

static s64 convert_and_call(Thread *thread, const Ioctl *row, const u64 *arguments)
{
    const StructLayout *layout = row->structure;
    const bool big_endian = thread->abi->big_endian;
    u8 guest[STRUCT_BYTES];
    _Alignas(8) u8 host[STRUCT_BYTES] = {0};

    if (row->kind != ARGUMENT_OUT) {
        if (!copy_from_guest(guest, arguments[2], layout->guest_size)) {
            return -EFAULT;
        }
        int error = struct_to_host(layout, host, guest, big_endian);
        if (error) {
            return error;
        }
    }
    s64 result =
        host_call(thread, SYS_ioctl, (u64[6]){arguments[0], row->host, host_to_guest(host)});
    if (result < 0 || row->kind == ARGUMENT_IN) {
        return result;
    }
    int error = struct_to_guest(layout, guest, host, big_endian);
    return error                                                    ? error
           : copy_to_guest(arguments[2], guest, layout->guest_size) ? result
                                                                    : -EFAULT;
}

/* struct ifconf: an int, the bytes of a buffer, and its address; the buffer holds ifreqs. Without a
 * buffer the kernel says how many bytes there would be. */
static s64 list_interfaces(Thread *thread, const u64 *arguments)
{
    const GuestAbi *abi = thread->abi;
    unsigned entry = abi->structs[STRUCT_ifreq]->guest_size;
    u64 buffer;
    u8 bytes[4];

    if (!copy_from_guest(bytes, arguments[2], 4) ||
        !word_from_guest(thread, arguments[2] + abi->word_size, &buffer)) {
        return -EFAULT;
    }
    s32 size = (s32)get_value(bytes, 4, abi->big_endian);
    u32 room = buffer ? MIN((u32)MAX(size, 0) / entry, (u32)INTERFACES_MAX) : 0;
    struct ifreq *list = calloc(room + 1, sizeof *list);
    struct ifconf request = {.ifc_len = (int)(room * sizeof *list),
                             .ifc_req = buffer ? list : NULL};
    s64 result = !list ? -ENOMEM
                       : host_call(thread, SYS_ioctl,
                                   (u64[6]){arguments[0], SIOCGIFCONF, host_to_guest(&request)});
    u32 count = (u32)request.ifc_len / sizeof *list;
    for (u32 i = 0; result == 0 && buffer && i < count; i++) {
        result = struct_into_guest(thread, STRUCT_ifreq, buffer + i * entry, &list[i]);
    }
    free(list);
    put_value(bytes, count * entry, 4, abi->big_endian);
    return result || copy_to_guest(arguments[2], bytes, 4) ? result : -EFAULT;
}

s64 sys_ioctl(Thread *thread, const u64 *arguments)
{
    const GuestAbi *abi = thread->abi;
    u32 request = (u32)arguments[1];

    if (request == SIOCGIFCONF && !abi->structs[STRUCT_ifreq]->same) {
        return list_interfaces(thread, arguments);
    }
    for (const Ioctl *row = abi->ioctls; row->name; row++) {
        if (row->guest == request && (row->host != request || !row->structure->same)) {
            return convert_and_call(thread, row, arguments);
        }
    }
    return host_call(thread, SYS_ioctl, arguments);
}
