/* Names of keys, as QEMU's monitor has them, as Linux's codes. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "backend/input/keymap.h"
#include "control/control.h"

static const struct {
    const char *name;
    unsigned code;
} names[] = {
    {"shift", KEY_LEFTSHIFT},
    {"shift_r", KEY_RIGHTSHIFT},
    {"alt", KEY_LEFTALT},
    {"alt_r", KEY_RIGHTALT},
    {"ctrl", KEY_LEFTCTRL},
    {"ctrl_r", KEY_RIGHTCTRL},
    {"meta_l", KEY_LEFTMETA},
    {"meta_r", KEY_RIGHTMETA},
    {"menu", KEY_COMPOSE},
    {"esc", KEY_ESC},
    {"minus", KEY_MINUS},
    {"equal", KEY_EQUAL},
    {"backspace", KEY_BACKSPACE},
    {"tab", KEY_TAB},
    {"ret", KEY_ENTER},
    {"bracket_left", KEY_LEFTBRACE},
    {"bracket_right", KEY_RIGHTBRACE},
    {"semicolon", KEY_SEMICOLON},
    {"apostrophe", KEY_APOSTROPHE},
    {"grave_accent", KEY_GRAVE},
    {"backslash", KEY_BACKSLASH},
    {"comma", KEY_COMMA},
    {"dot", KEY_DOT},
    {"slash", KEY_SLASH},
    {"spc", KEY_SPACE},
    {"caps_lock", KEY_CAPSLOCK},
    {"num_lock", KEY_NUMLOCK},
    {"scroll_lock", KEY_SCROLLLOCK},
    {"f1", KEY_F1},
    {"f2", KEY_F2},
    {"f3", KEY_F3},
    {"f4", KEY_F4},
    {"f5", KEY_F5},
    {"f6", KEY_F6},
    {"f7", KEY_F7},
    {"f8", KEY_F8},
    {"f9", KEY_F9},
    {"f10", KEY_F10},
    {"f11", KEY_F11},
    {"f12", KEY_F12},
    {"kp_0", KEY_KP0},
    {"kp_1", KEY_KP1},
    {"kp_2", KEY_KP2},
    {"kp_3", KEY_KP3},
    {"kp_4", KEY_KP4},
    {"kp_5", KEY_KP5},
    {"kp_6", KEY_KP6},
    {"kp_7", KEY_KP7},
    {"kp_8", KEY_KP8},
    {"kp_9", KEY_KP9},
    {"kp_enter", KEY_KPENTER},
    {"kp_add", KEY_KPPLUS},
    {"kp_subtract", KEY_KPMINUS},
    {"kp_multiply", KEY_KPASTERISK},
    {"kp_divide", KEY_KPSLASH},
    {"kp_decimal", KEY_KPDOT},
    {"less", KEY_102ND},
    {"print", KEY_SYSRQ},
    {"sysrq", KEY_SYSRQ},
    {"pause", KEY_PAUSE},
    {"home", KEY_HOME},
    {"pgup", KEY_PAGEUP},
    {"pgdn", KEY_PAGEDOWN},
    {"end", KEY_END},
    {"left", KEY_LEFT},
    {"up", KEY_UP},
    {"down", KEY_DOWN},
    {"right", KEY_RIGHT},
    {"insert", KEY_INSERT},
    {"delete", KEY_DELETE},
};

unsigned control_key(const char *name)
{
    bool shift;

    for (size_t i = 0; i < COUNT(names); i++) {
        if (!strcmp(names[i].name, name)) {
            return names[i].code;
        }
    }
    return strlen(name) == 1 ? keymap_character(name[0], &shift) : 0;
}
