/* What the address sanitizer must be told; nothing in other builds. */
#ifndef BASE_SANITIZER_H
#define BASE_SANITIZER_H

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
/* The memory is as good as new: for stacks that were left without returning, whose frames stay
 * marked otherwise. */
#define sanitizer_forget(memory, size) __asan_unpoison_memory_region(memory, size)
#else
#define sanitizer_forget(memory, size) ((void)(memory), (void)(size))
#endif

#endif
