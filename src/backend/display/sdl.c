/* Loading SDL2. See sdl.h. */
#include "backend/display/sdl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

bool sdl_load(Sdl *sdl, char **error)
{
    static const char library[] = "libSDL2-2.0.so.0";
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define SDL_ROW(name) {#name, offsetof(Sdl, name)},
        SDL_FUNCTIONS(SDL_ROW)
#undef SDL_ROW
    };
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL); /* stays: SDL does not like to go */

    for (size_t i = 0; handle && i < COUNT(functions); i++) {
        void *function = dlsym(handle, functions[i].name);
        if (!function) {
            handle = NULL;
            break;
        }
        *(void **)((char *)sdl + functions[i].offset) = function;
    }
    if (!handle && error &&
        asprintf(error, "a window needs the library %s: %s", library, dlerror()) < 0) {
        abort();
    }
    return handle;
}
