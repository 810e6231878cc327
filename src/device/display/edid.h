/* What a monitor says of itself: EDID (VESA Enhanced EDID Standard, release A revision 2). */
#ifndef DEVICE_DISPLAY_EDID_H
#define DEVICE_DISPLAY_EDID_H

#include "base/types.h"

enum { EDID_SIZE = 128 };

/* One block, of a monitor that prefers that many pixels (at most 4095 each) at 60 Hz. */
void edid_fill(u8 *edid, u32 width, u32 height);

#endif
