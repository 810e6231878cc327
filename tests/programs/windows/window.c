/* A Windows program with a window, run by Wine: paints a square, says what it got back from the
 * screen, and goes when another instance tells it to, or after a minute.
 *
 *   window [close] */
#include <stdio.h>
#include <windows.h>

enum { SIDE = 100, TIMER = 1, SECONDS = 60 };

static const char class_name[] = "menura";

static int painted;

static void paint(HWND window)
{
    PAINTSTRUCT state;
    HDC context = BeginPaint(window, &state);
    RECT square = {10, 10, 10 + SIDE, 10 + SIDE};
    HBRUSH brush = CreateSolidBrush(RGB(200, 100, 50));

    FillRect(context, &square, brush);
    DeleteObject(brush);
    TextOutA(context, 10, 20 + SIDE, "text", 4);
    COLORREF color = GetPixel(context, 10 + SIDE / 2, 10 + SIDE / 2);
    EndPaint(window, &state);
    GdiFlush();
    if (!painted++) {
        printf("painted %02x %02x %02x\n", GetRValue(color), GetGValue(color), GetBValue(color));
        fflush(stdout);
    }
}

static LRESULT CALLBACK on_message(HWND window, UINT message, WPARAM w, LPARAM l)
{
    switch (message) {
    case WM_PAINT:
        paint(window);
        return 0;
    case WM_TIMER:
    case WM_DESTROY:
        PostQuitMessage(message == WM_TIMER);
        return 0;
    default:
        return DefWindowProcA(window, message, w, l);
    }
}

/* Asks another process's window to close. */
static int close_other(void)
{
    HWND other = FindWindowA(class_name, NULL);

    printf("found: %d\n", other != NULL);
    return !PostMessageA(other, WM_CLOSE, 0, 0);
}

int main(int argc, char **argv)
{
    WNDCLASSA class = {.lpfnWndProc = on_message,
                       .hInstance = GetModuleHandleA(NULL),
                       .hbrBackground = GetStockObject(WHITE_BRUSH),
                       .lpszClassName = class_name};
    MSG message;

    (void)argv;
    if (argc > 1) {
        return close_other();
    }
    RegisterClassA(&class);
    HWND window =
        CreateWindowExA(0, class_name, "A window of Menura", WS_OVERLAPPEDWINDOW | WS_VISIBLE, 50,
                        60, 300, 200, NULL, NULL, class.hInstance, NULL);
    printf("window: %d\n", window != NULL);
    fflush(stdout);
    SetTimer(window, TIMER, SECONDS * 1000, NULL);
    while (GetMessageA(&message, NULL, 0, 0) > 0) {
        TranslateMessage(&message);
        DispatchMessageA(&message);
    }
    printf("the end: %d\n", (int)message.wParam);
    return (int)message.wParam;
}
