/* A Windows console program, run by Wine: what such programs ask of the CPU and of Linux by way of
 * it. Prints the same each time.
 *
 *   console [CHILD]    CHILD: another program, started with a pipe for its output */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <x86intrin.h>

/* -- Exceptions */

enum { TRAP_FLAG = 1 << 8, STEPS = 5 };

static volatile LONG steps_left, faults;
static char *guarded;

#ifdef _WIN64
#define CONTEXT_PC(c) ((c)->Rip)
#else
#define CONTEXT_PC(c) ((c)->Eip)
#endif

/* Passes over what faulted: each such instruction below is two bytes long. */
static LONG CALLBACK on_exception(EXCEPTION_POINTERS *pointers)
{
    EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    CONTEXT *context = pointers->ContextRecord;

    switch (record->ExceptionCode) {
    case EXCEPTION_SINGLE_STEP:
        context->EFlags =
            --steps_left > 0 ? context->EFlags | TRAP_FLAG : context->EFlags & ~TRAP_FLAG;
        return EXCEPTION_CONTINUE_EXECUTION;
    case EXCEPTION_GUARD_PAGE:
        printf("guard page at +%d\n", (int)(record->ExceptionInformation[1] - (ULONG_PTR)guarded));
        return EXCEPTION_CONTINUE_EXECUTION;
    case EXCEPTION_ACCESS_VIOLATION:
        printf("access violation: %d at %#x\n", (int)record->ExceptionInformation[0],
               (unsigned)record->ExceptionInformation[1]);
        break;
    default:
        printf("exception %#lx, %lu parameters\n", record->ExceptionCode, record->NumberParameters);
        break;
    }
    faults++;
    if (record->ExceptionCode != EXCEPTION_BREAKPOINT) {
        CONTEXT_PC(context) += 2;
    } else {
        CONTEXT_PC(context) += 1;
    }
    return EXCEPTION_CONTINUE_EXECUTION;
}

static void test_exceptions(void)
{
    void *handler = AddVectoredExceptionHandler(1, on_exception);
    DWORD old;

    __asm__ volatile("mov %%eax, (%0)" : : "c"((ULONG_PTR)0x1230) : "memory");
    __asm__ volatile("mov (%0), %%eax" : : "c"((ULONG_PTR)0x1234) : "eax", "memory");
    __asm__ volatile("div %%ecx" : : "a"(1), "d"(0), "c"(0));
    __asm__ volatile("ud2");
    __asm__ volatile("int3");
    __asm__ volatile("cli; nop"); /* privileged */

    guarded = VirtualAlloc(NULL, 8192, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    VirtualProtect(guarded + 4096, 4096, PAGE_READWRITE | PAGE_GUARD, &old);
    guarded[4096 + 24] = 1;
    guarded[4096 + 25] = 2;

    steps_left = STEPS;
    __writeeflags(__readeflags() | TRAP_FLAG);
    __asm__ volatile("nop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop");
    printf("steps left: %ld, faults: %ld\n", steps_left, faults);
    RemoveVectoredExceptionHandler(handler);
}

/* -- Threads */

enum { THREADS = 4, ROUNDS = 20000 };

static CRITICAL_SECTION section;
static LONG counter, atomic_counter;
static DWORD slot;
static __thread int own = 5;

static DWORD WINAPI count(void *argument)
{
    TlsSetValue(slot, argument);
    for (int i = 0; i < ROUNDS; i++) {
        EnterCriticalSection(&section);
        counter++;
        LeaveCriticalSection(&section);
        InterlockedIncrement(&atomic_counter);
        own++;
    }
    return TlsGetValue(slot) == argument && own == 5 + ROUNDS ? (DWORD)(ULONG_PTR)argument : 0;
}

static void test_threads(void)
{
    HANDLE threads[THREADS];
    DWORD sum = 0;

    InitializeCriticalSection(&section);
    slot = TlsAlloc();
    for (int i = 0; i < THREADS; i++) {
        threads[i] = CreateThread(NULL, 0, count, (void *)(ULONG_PTR)(i + 1), 0, NULL);
    }
    WaitForMultipleObjects(THREADS, threads, TRUE, INFINITE);
    for (int i = 0; i < THREADS; i++) {
        DWORD code = 0;
        GetExitCodeThread(threads[i], &code);
        sum += code;
        CloseHandle(threads[i]);
    }
    printf("threads: %ld %ld, codes %lu, own %d\n", counter, atomic_counter, sum, own);
}

static volatile LONG spinning;

static DWORD WINAPI spin(void *argument)
{
    (void)argument;
    while (!spinning) {
        InterlockedCompareExchange(&spinning, 1, 0);
    }
    while (spinning == 1) {
    }
    return 77;
}

/* Another thread's registers, seen and changed while it is held. */
static void test_suspension(void)
{
    HANDLE thread = CreateThread(NULL, 0, spin, NULL, 0, NULL);
    CONTEXT context = {.ContextFlags = CONTEXT_CONTROL | CONTEXT_INTEGER};
    DWORD code = 0;

    while (!spinning) {
        Sleep(1);
    }
    SuspendThread(thread);
    BOOL got = GetThreadContext(thread, &context);
    ULONG_PTR pc = CONTEXT_PC(&context), start = (ULONG_PTR)spin;
    printf("suspended: %d, in spin: %d\n", got, pc >= start && pc < start + 256);
    spinning = 2;
    ResumeThread(thread);
    WaitForSingleObject(thread, INFINITE);
    GetExitCodeThread(thread, &code);
    CloseHandle(thread);
    printf("thread code: %lu\n", code);
}

/* -- Memory, fibers, floats */

static void test_code(void)
{
    static const unsigned char code[] = {0xb8, 0x2a, 0x00,
                                         0x00, 0x00, 0xc3}; /* mov $42, %eax; ret */
    unsigned char *memory =
        VirtualAlloc(NULL, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    int (*function)(void) = (int (*)(void))(void *)memory;

    memcpy(memory, code, sizeof(code));
    FlushInstructionCache(GetCurrentProcess(), memory, sizeof(code));
    int first = function();
    memory[1] = 43;
    printf("made code: %d %d\n", first, function());
    VirtualFree(memory, 0, MEM_RELEASE);
}

static void *main_fiber;

static void CALLBACK fiber(void *argument)
{
    for (int i = 0;; i++) {
        printf("fiber %s %d\n", (char *)argument, i);
        SwitchToFiber(main_fiber);
    }
}

static void test_fibers(void)
{
    main_fiber = ConvertThreadToFiber(NULL);
    void *one = CreateFiber(0, fiber, "one"), *two = CreateFiber(0, fiber, "two");

    for (int i = 0; i < 2; i++) {
        SwitchToFiber(one);
        SwitchToFiber(two);
    }
    DeleteFiber(one);
    DeleteFiber(two);
}

static void test_floats(void)
{
    double x = 1;
    long double y = 1;

    for (int i = 1; i < 20; i++) {
        x = x * 1.1 + 1.0 / i;
        y = y * 1.1L + 1.0L / i;
    }
    printf("floats: %.15g %.15g\n", x, (double)(y / 3));
}

/* -- Files, libraries, registry, another process */

static void test_system(void)
{
    char text[64] = "";
    DWORD size, value = 12345, type;
    HKEY key;

    HANDLE file =
        CreateFileA("test.txt", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    WriteFile(file, "some text", 9, &size, NULL);
    HANDLE mapping = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 4096, "menura-test");
    char *view = MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0);
    printf("view: %.9s\n", view ? view : "none");
    UnmapViewOfFile(view);
    CloseHandle(mapping);
    CloseHandle(file);
    DeleteFileA("test.txt");

    RegCreateKeyA(HKEY_CURRENT_USER, "Software\\Test", &key);
    RegSetValueExA(key, "number", 0, REG_DWORD, (BYTE *)&value, sizeof(value));
    size = sizeof(value);
    value = 0;
    RegQueryValueExA(key, "number", NULL, &type, (BYTE *)&value, &size);
    RegCloseKey(key);
    printf("registry: %lu\n", value);

    HMODULE library = LoadLibraryA("shlwapi.dll");
    int(WINAPI * compare)(const char *, const char *) =
        (void *)GetProcAddress(library, "StrCmpNIA");
    printf("library: %d\n", compare != NULL);
    FreeLibrary(library);
    GetEnvironmentVariableA("TEST_VARIABLE", text, sizeof(text));
    printf("variable: %s\n", text);
}

static void test_child(const char *program)
{
    SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
    STARTUPINFOA start = {.cb = sizeof(start), .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION process;
    HANDLE from, to;
    char text[4096], command[300];
    DWORD size, code = 0;

    CreatePipe(&from, &to, &inherited, 0);
    start.hStdOutput = to;
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    snprintf(command, sizeof(command), "%s", program);
    if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &start, &process)) {
        printf("no child: %lu\n", GetLastError());
        return;
    }
    CloseHandle(to);
    while (ReadFile(from, text, sizeof(text) - 1, &size, NULL) && size) {
        text[size] = 0;
        fputs(text, stdout);
    }
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    printf("child's code: %lu\n", code);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("%d bits, %d arguments\n", (int)(8 * sizeof(void *)), argc);
    test_exceptions();
    test_threads();
    test_suspension();
    test_code();
    test_fibers();
    test_floats();
    test_system();
    if (argc > 1) {
        test_child(argv[1]);
    }
    return 7;
}
