/* A kernel that prints on the first serial port what it was handed, and switches the machine off.
 * Compiled once for each boot protocol, with -DMULTIBOOT, -DMULTIBOOT -DFLAT, -DMULTIBOOT2 or
 * -DPVH, for 32-bit code without a C library, linked to 2 MiB. Zeroed memory is checked, too: a
 * loader that leaves rubbish in .bss prints "bss!". */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

/* clang-format off */
#if defined(MULTIBOOT) && defined(FLAT)
__asm__(".section .text.header, \"ax\"\n"
        ".balign 4\n"
        "header: .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)\n"
        ".long header, 0x200000, edata, end, _start\n");
#elif defined(MULTIBOOT)
__asm__(".section .text.header, \"ax\"\n"
        ".balign 4\n"
        ".long 0x1badb002, 3, -(0x1badb002 + 3)\n");
#elif defined(MULTIBOOT2)
__asm__(".section .text.header, \"ax\"\n"
        ".balign 8\n"
        "1: .long 0xe85250d6, 0, 2f - 1b, -(0xe85250d6 + 2f - 1b)\n"
        ".word 6, 0\n .long 8\n"    /* modules on pages */
        ".word 77, 1\n .long 12\n"  /* something optional that nobody knows */
        ".long 0, 0\n"
        ".word 0, 0\n .long 8\n"
        "2:\n");
#else
__asm__(".section .note.Xen, \"a\", @note\n"
        ".long 4, 4, 18\n"
        ".asciz \"Xen\"\n"
        ".long _start\n");
#endif

__asm__(".text\n"
        ".globl _start\n"
        "_start: mov $stack + 4096, %esp\n"
        "push %ebx\n"
        "push %eax\n"
        "call kernel_main\n"
        "hlt\n");
/* clang-format on */

u8 stack[4096] __attribute__((used));
static u32 zeroes[64];

static void out8(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void print(const char *text)
{
    while (*text) {
        out8(0x3f8, (u8)*text++);
    }
}

static void print_hex(u64 value)
{
    for (int shift = 60; shift >= 0; shift -= 4) {
        if (value >> shift || !shift) {
            out8(0x3f8, (u8) "0123456789abcdef"[value >> shift & 15]);
        }
    }
}

static void print_line(const char *what, const char *text)
{
    print(what);
    print(" ");
    print(text);
    print("\n");
}

static void print_number(const char *what, u64 value)
{
    print(what);
    print(" ");
    print_hex(value);
    print("\n");
}

static void print_range(u64 start, u64 size, u32 type)
{
    print_number(type == 1 ? "ram" : "reserved", start);
    print_number("size", size);
}

/* What a module holds, to its first line's end. */
static void print_module(u32 start, u32 end)
{
    if (start & 4095) {
        print("module not on a page\n");
    }
    print("module ");
    for (const u8 *at = (const u8 *)start; at < (const u8 *)end && *at != '\n'; at++) {
        out8(0x3f8, *at);
    }
    print("\n");
}

#ifdef MULTIBOOT
static void tell(const u32 *info)
{
    const u32 *module = (const u32 *)info[6];

    print_number("flags", info[0]);
    print_number("lower", info[1]);
    print_number("upper", info[2]);
    print_line("command", (const char *)info[4]);
    for (u32 i = 0; i < info[5]; i++, module += 4) {
        print_line("text", (const char *)module[2]);
        print_module(module[0], module[1]);
    }
    for (const u8 *at = (const u8 *)info[12], *end = at + info[11]; at < end;) {
        const u32 *range = (const u32 *)at;
        print_range(*(const u64 *)(range + 1), *(const u64 *)(range + 3), range[5]);
        at += range[0] + 4;
    }
    print_line("loader", (const char *)info[16]);
}
#endif

#ifdef MULTIBOOT2
static void tell(const u32 *info)
{
    const u8 *at = (const u8 *)info + 8, *end = (const u8 *)info + info[0];

    for (const u32 *tag = (const u32 *)at; at < end && tag[0]; tag = (const u32 *)at) {
        if (tag[0] == 1) {
            print_line("command", (const char *)(tag + 2));
        } else if (tag[0] == 2) {
            print_line("loader", (const char *)(tag + 2));
        } else if (tag[0] == 3) {
            print_line("text", (const char *)(tag + 4));
            print_module(tag[2], tag[3]);
        } else if (tag[0] == 4) {
            print_number("lower", tag[2]);
            print_number("upper", tag[3]);
        } else if (tag[0] == 6) {
            for (const u32 *r = tag + 4; (const u8 *)r < at + tag[1]; r += tag[2] / 4) {
                print_range(*(const u64 *)r, *(const u64 *)(r + 2), r[4]);
            }
        }
        at += (tag[1] + 7) & ~7u;
    }
    print(at + 8 == end ? "end\n" : "no end\n");
}
#endif

#ifdef PVH
static void tell(const u32 *info)
{
    const u32 *module = (const u32 *)info[4], *range = (const u32 *)info[10];
    const char *rsdp = (const char *)info[8];

    print_number("start", info[0]);
    print_line("command", (const char *)info[6]);
    for (u32 i = 0; i < info[3]; i++, module += 8) {
        print_module(module[0], module[0] + module[2]);
    }
    for (u32 i = 0; i < info[12]; i++, range += 6) {
        print_range(*(const u64 *)range, *(const u64 *)(range + 2), range[4]);
    }
    for (u32 i = 0; i < 8; i++) {
        out8(0x3f8, (u8)rsdp[i]);
    }
    print("\n");
}
#endif

__attribute__((used, noreturn)) void kernel_main(u32 eax, const u32 *info)
{
    u32 cr0;

    __asm__("mov %%cr0, %0" : "=r"(cr0));
    for (u32 i = 0; i < sizeof zeroes / sizeof zeroes[0]; i++) {
        if (zeroes[i]) {
            print("bss!\n");
        }
        zeroes[i] = ~0u; /* for the next time */
    }
    print_number("eax", eax);
    print_number("mode", cr0 & 0x80000001);
    tell(info);
    __asm__ volatile("outw %0, %1" ::"a"((u16)0x2000), "d"((u16)0x604)); /* PM1a control: S5 */
    for (;;) {
        __asm__ volatile("hlt");
    }
}
