/* The CPU features a guest may have, as a set. */
#ifndef GUEST_X86_FEATURES_H
#define GUEST_X86_FEATURES_H

#include "base/types.h"

typedef enum X86Feature {
#define FEATURE(name, text, word, bit, since) X86_FEATURE_##name,
#include "guest/x86/features.def"
#undef FEATURE
    X86_FEATURE_COUNT,
    X86_FEATURE_NONE = 0xff, /* what a row that needs none says */
} X86Feature;

enum { X86_FEATURE_WORDS = 4 }; /* of a set */

static inline bool x86_has(const u64 *set, unsigned feature)
{
    return set[feature / 64] >> (feature % 64) & 1;
}

#endif
