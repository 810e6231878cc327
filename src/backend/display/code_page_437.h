/* Code page 437, the characters of a PC's text screen. */
#ifndef BACKEND_DISPLAY_CODE_PAGE_437_H
#define BACKEND_DISPLAY_CODE_PAGE_437_H

#include "base/types.h"

/* The Unicode character of each; those below 32 as the screen shows them, not as controls. */
extern const u16 code_page_437[256];

#endif
