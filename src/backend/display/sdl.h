/* SDL2, loaded when the first window is wanted: a machine without one needs no SDL, and the program
 * starts without loading what SDL drags in. */
#ifndef BACKEND_DISPLAY_SDL_H
#define BACKEND_DISPLAY_SDL_H

#include <SDL.h>

#include "base/types.h"

#define SDL_FUNCTIONS(F)                                                                           \
    F(SDL_CreateRenderer)                                                                          \
    F(SDL_CreateTexture)                                                                           \
    F(SDL_CreateWindow)                                                                            \
    F(SDL_DestroyRenderer)                                                                         \
    F(SDL_DestroyTexture)                                                                          \
    F(SDL_DestroyWindow)                                                                           \
    F(SDL_GetError)                                                                                \
    F(SDL_GetModState)                                                                             \
    F(SDL_GetRendererOutputSize)                                                                   \
    F(SDL_GetWindowFlags)                                                                          \
    F(SDL_GetWindowSize)                                                                           \
    F(SDL_Init)                                                                                    \
    F(SDL_PollEvent)                                                                               \
    F(SDL_PushEvent)                                                                               \
    F(SDL_Quit)                                                                                    \
    F(SDL_RenderClear)                                                                             \
    F(SDL_RenderCopy)                                                                              \
    F(SDL_RenderPresent)                                                                           \
    F(SDL_SetHint)                                                                                 \
    F(SDL_SetRelativeMouseMode)                                                                    \
    F(SDL_SetTextureScaleMode)                                                                     \
    F(SDL_SetWindowFullscreen)                                                                     \
    F(SDL_SetWindowKeyboardGrab)                                                                   \
    F(SDL_SetWindowSize)                                                                           \
    F(SDL_SetWindowTitle)                                                                          \
    F(SDL_ShowCursor)                                                                              \
    F(SDL_UpdateTexture)                                                                           \
    F(SDL_WaitEventTimeout)

typedef struct Sdl {
#define SDL_MEMBER(name) __typeof__(name) *name;
    SDL_FUNCTIONS(SDL_MEMBER)
#undef SDL_MEMBER
} Sdl;

/* Fills *sdl; false with one line in *error (to be freed; NULL: not wanted) where there is none. */
bool sdl_load(Sdl *sdl, char **error);

#endif
