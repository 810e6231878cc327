/* System mode: paging, faults with precise state, accesses across pages, devices, code that
 * changes, interrupts, several CPUs. Every test runs on every host that this machine has. */
#include <pthread.h>
#include <string.h>

#include "board.h"
#include "exec/mmu.h"
#include "guest/x86/system.h"
#include "tests/tap.h"

/* -- Guest programs. They end with `out 0xf4, al` and a loop. */

static const u8 sum_32[] = {
    0xb9, 0xe8, 0x03, 0x00, 0x00, /* mov ecx,0x3e8 */
    0x31, 0xc0,                   /* xor eax,eax */
    0x01, 0xc8,                   /* add eax,ecx */
    0x49,                         /* dec ecx */
    0x75, 0xfb,                   /* jne 0x7 */
    0x50,                         /* push eax */
    0x5b,                         /* pop ebx */
    0xe7, 0x80,                   /* out 0x80,eax */
    0xf4,                         /* hlt */
    0xe6, 0x81,                   /* out 0x81,al */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0x15 */
};

static const u8 fault_64[] = {
    0xb8, 0x05, 0x00, 0x00, 0x00,             /* mov eax,0x5 */
    0xbb, 0x07, 0x00, 0x00, 0x00,             /* mov ebx,0x7 */
    0x48, 0xc7, 0xc2, 0x00, 0x00, 0x00, 0x40, /* mov rdx,0x40000000 */
    0x83, 0xc0, 0x01,                         /* add eax,0x1 */
    0x39, 0xd8,                               /* cmp eax,ebx */
    0x48, 0x8b, 0x4c, 0xc2, 0xd8,             /* mov rcx,QWORD PTR [rdx+rax*8-0x28] */
    0x83, 0xc0, 0x64,                         /* add eax,0x64 */
    0x48, 0x89, 0x4a, 0x10,                   /* mov QWORD PTR [rdx+0x10],rcx */
    0x05, 0xe8, 0x03, 0x00, 0x00,             /* add eax,0x3e8 */
    0xe7, 0x80,                               /* out 0x80,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x2b */
};

static const u8 handler_64[] = {
    0x50,                   /* push rax */
    0x0f, 0x20, 0xd0,       /* mov rax,cr2 */
    0xe7, 0x90,             /* out 0x90,eax */
    0x8b, 0x44, 0x24, 0x08, /* mov eax,DWORD PTR [rsp+0x8] */
    0xe7, 0x91,             /* out 0x91,eax */
    0x8b, 0x44, 0x24, 0x10, /* mov eax,DWORD PTR [rsp+0x10] */
    0xe7, 0x92,             /* out 0x92,eax */
    0x8b, 0x44, 0x24, 0x20, /* mov eax,DWORD PTR [rsp+0x20] */
    0xe7, 0x93,             /* out 0x93,eax */
    0x58,                   /* pop rax */
    0xe7, 0x94,             /* out 0x94,eax */
    0xe6, 0xf4,             /* out 0xf4,al */
    0xeb, 0xfe,             /* jmp 0x1d */
};

static const u8 together_64[] = {
    0x48, 0xc7, 0xc2, 0xf0, 0x0f, 0x60, 0x00, /* mov rdx,0x600ff0 */
    0xc7, 0x02, 0x01, 0x00, 0x00, 0x00,       /* mov DWORD PTR [rdx],0x1 */
    0xc7, 0x42, 0x08, 0x02, 0x00, 0x00, 0x00, /* mov DWORD PTR [rdx+0x8],0x2 */
    0xc7, 0x42, 0x10, 0x03, 0x00, 0x00, 0x00, /* mov DWORD PTR [rdx+0x10],0x3 */
    0xc7, 0x42, 0x0c, 0x04, 0x00, 0x00, 0x00, /* mov DWORD PTR [rdx+0xc],0x4 */
    0x8b, 0x02,                               /* mov eax,DWORD PTR [rdx] */
    0x03, 0x42, 0x08,                         /* add eax,DWORD PTR [rdx+0x8] */
    0xc1, 0xe0, 0x08,                         /* shl eax,0x8 */
    0x03, 0x42, 0x10,                         /* add eax,DWORD PTR [rdx+0x10] */
    0x03, 0x42, 0x0c,                         /* add eax,DWORD PTR [rdx+0xc] */
    0xe7, 0x80,                               /* out 0x80,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x34 */
};

static const u8 remap_between_64[] = {
    0x48, 0xc7, 0xc2, 0x10, 0x00, 0x60, 0x00, /* mov rdx,0x600010 */
    0xc7, 0x02, 0x05, 0x00, 0x00, 0x00,       /* mov DWORD PTR [rdx],0x5 */
    0x89, 0x33,                               /* mov DWORD PTR [rbx],esi */
    0x0f, 0x01, 0x3a,                         /* invlpg BYTE PTR [rdx] */
    0xc7, 0x42, 0x08, 0x06, 0x00, 0x00, 0x00, /* mov DWORD PTR [rdx+0x8],0x6 */
    0x8b, 0x02,                               /* mov eax,DWORD PTR [rdx] */
    0xe7, 0x80,                               /* out 0x80,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x1f */
};

static const u8 crossing_64[] = {
    0x48, 0xc7, 0xc2, 0xfc, 0x0f, 0x60, 0x00,                   /* mov rdx,0x600ffc */
    0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* movabs rax,0x1122334455667788 */
    0x48, 0x89, 0x02,                                           /* mov QWORD PTR [rdx],rax */
    0x48, 0x8b, 0x1a,                                           /* mov rbx,QWORD PTR [rdx] */
    0x0f, 0x10, 0x42, 0xfc, /* movups xmm0,XMMWORD PTR [rdx-0x4] */
    0x0f, 0x11, 0x42, 0xf8, /* movups XMMWORD PTR [rdx-0x8],xmm0 */
    0x8b, 0x4a, 0xf8,       /* mov ecx,DWORD PTR [rdx-0x8] */
    0xe6, 0xf4,             /* out 0xf4,al */
    0xeb, 0xfe,             /* jmp 0x24 */
};

static const u8 vectors_64[] = {
    0x48, 0xc7, 0xc2, 0xf8, 0x0f, 0x60, 0x00,                   /* mov rdx,0x600ff8 */
    0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* movabs rax,0x1122334455667788 */
    0x66, 0x4c, 0x0f, 0x6e, 0xf8,                               /* movq xmm15,rax */
    0x66, 0x45, 0x0f, 0x6c, 0xff,                               /* punpcklqdq xmm15,xmm15 */
    0x44, 0x0f, 0x11, 0x3a,                                     /* movups XMMWORD PTR [rdx],xmm15 */
    0x44, 0x0f, 0x11, 0xba, 0x00, 0xff, 0xff, 0xff, /* movups XMMWORD PTR [rdx-0x100],xmm15 */
    0x48, 0x8b, 0x9a, 0x00, 0xff, 0xff, 0xff,       /* mov rbx,QWORD PTR [rdx-0x100] */
    0x48, 0x8b, 0x8a, 0x08, 0xff, 0xff, 0xff,       /* mov rcx,QWORD PTR [rdx-0xf8] */
    0xe6, 0xf4,                                     /* out 0xf4,al */
    0xeb, 0xfe,                                     /* jmp . */
};

static const u8 split_64[] = {
    0x48, 0xc7, 0xc2, 0xfe, 0x0f, 0x60, 0x00, /* mov rdx,0x600ffe */
    0xbb, 0x99, 0x99, 0x99, 0x99,             /* mov ebx,0x99999999 */
    0x89, 0x1a,                               /* mov DWORD PTR [rdx],ebx */
    0x89, 0x5a, 0x02,                         /* mov DWORD PTR [rdx+0x2],ebx */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x13 */
};

static const u8 modify_32[] = {
    0xb8, 0x03, 0x00, 0x00, 0x00, /* mov eax,0x3 */
    0xa2, 0x0c, 0x40, 0x00, 0x00, /* mov ds:0x400c,al */
    0x90,                         /* nop */
    0xbb, 0x11, 0x00, 0x00, 0x00, /* mov ebx,0x11 */
    0xe7, 0x80,                   /* out 0x80,eax */
    0x93,                         /* xchg ebx,eax */
    0xe7, 0x81,                   /* out 0x81,eax */
    0x93,                         /* xchg ebx,eax */
    0x48,                         /* dec eax */
    0x75, 0xec,                   /* jne 0x5 */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0x1b */
};

static const u8 remap_64[] = {
    0x48, 0xc7, 0xc7, 0x00, 0x30, 0x01, 0x00, /* mov rdi,0x13000 */
    0x48, 0xc7, 0xc3, 0x00, 0x00, 0x60, 0x00, /* mov rbx,0x600000 */
    0xff, 0xd3,                               /* call rbx */
    0xe7, 0x80,                               /* out 0x80,eax */
    0x48, 0x8b, 0x47, 0x08,                   /* mov rax,QWORD PTR [rdi+0x8] */
    0x48, 0x89, 0x07,                         /* mov QWORD PTR [rdi],rax */
    0x0f, 0x01, 0x3b,                         /* invlpg BYTE PTR [rbx] */
    0xff, 0xd3,                               /* call rbx */
    0xe7, 0x81,                               /* out 0x81,eax */
    0x48, 0x8b, 0x47, 0x10,                   /* mov rax,QWORD PTR [rdi+0x10] */
    0x48, 0x89, 0x07,                         /* mov QWORD PTR [rdi],rax */
    0x0f, 0x20, 0xd8,                         /* mov rax,cr3 */
    0x0f, 0x22, 0xd8,                         /* mov cr3,rax */
    0xff, 0xd3,                               /* call rbx */
    0xe7, 0x82,                               /* out 0x82,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x33 */
};

/* Loads in loops, also across the page's end. */
static const u8 remap_data_64[] = {
    0x48, 0xc7, 0xc7, 0x00, 0x30, 0x01, 0x00, /* mov rdi,0x13000 */
    0x48, 0xc7, 0xc3, 0x00, 0x00, 0x60, 0x00, /* mov rbx,0x600000 */
    0xe8, 0x2b, 0x00, 0x00, 0x00,             /* call 3e */
    0xe7, 0x80,                               /* out 0x80,eax */
    0x48, 0x8b, 0x47, 0x10,                   /* mov rax,QWORD PTR [rdi+0x10] */
    0x48, 0x89, 0x07,                         /* mov QWORD PTR [rdi],rax */
    0x0f, 0x01, 0x3b,                         /* invlpg BYTE PTR [rbx] */
    0xe8, 0x1a, 0x00, 0x00, 0x00,             /* call 3e */
    0xe7, 0x81,                               /* out 0x81,eax */
    0x48, 0x8b, 0x47, 0x18,                   /* mov rax,QWORD PTR [rdi+0x18] */
    0x48, 0x89, 0x07,                         /* mov QWORD PTR [rdi],rax */
    0x0f, 0x20, 0xd8,                         /* mov rax,cr3 */
    0x0f, 0x22, 0xd8,                         /* mov cr3,rax */
    0xe8, 0x06, 0x00, 0x00, 0x00,             /* call 3e */
    0xe7, 0x82,                               /* out 0x82,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 3c */
    0xb9, 0x64, 0x00, 0x00, 0x00,             /* mov ecx,0x64 */
    0x31, 0xc0,                               /* xor eax,eax */
    0x03, 0x03,                               /* add eax,DWORD PTR [rbx] */
    0x03, 0x83, 0xfe, 0x0f, 0x00, 0x00,       /* add eax,DWORD PTR [rbx+0xffe] */
    0xff, 0xc9,                               /* dec ecx */
    0x75, 0xf4,                               /* jne 45 */
    0xc3,                                     /* ret */
};

static const u8 device_32[] = {
    0xbe, 0x00, 0x00, 0x00, 0x20, /* mov esi,0x20000000 */
    0xb8, 0x78, 0x56, 0x34, 0x12, /* mov eax,0x12345678 */
    0x89, 0x46, 0x08,             /* mov DWORD PTR [esi+0x8],eax */
    0x88, 0x46, 0x03,             /* mov BYTE PTR [esi+0x3],al */
    0x66, 0x89, 0x46, 0x06,       /* mov WORD PTR [esi+0x6],ax */
    0x0f, 0xb6, 0x5e, 0x01,       /* movzx ebx,BYTE PTR [esi+0x1] */
    0x0f, 0xbf, 0x4e, 0x02,       /* movsx ecx,WORD PTR [esi+0x2] */
    0x83, 0x46, 0x04, 0x05,       /* add DWORD PTR [esi+0x4],0x5 */
    0xf0, 0x83, 0x46, 0x04, 0x05, /* lock add DWORD PTR [esi+0x4],0x5 */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0x27 */
};

static const u8 interrupt_32[] = {
    0xfb,       /* sti */
    0x31, 0xdb, /* xor ebx,ebx */
    0x43,       /* inc ebx */
    0xeb, 0xfd, /* jmp 0x3 */
};

static const u8 irq_handler_32[] = {
    0x47,       /* inc edi */
    0xe6, 0x90, /* out 0x90,al */
    0xcf,       /* iret */
};

static const u8 hlt_only[] = {0xf4};

static const u8 wait_32[] = {
    0xfb,       /* sti */
    0xf4,       /* hlt */
    0xe6, 0x91, /* out 0x91,al */
    0xeb, 0xfa, /* jmp 0x0 */
};

static const u8 off_32[] = {
    0xfa,                         /* cli */
    0xb9, 0x40, 0x0d, 0x03, 0x00, /* mov ecx,0x30d40 */
    0x49,                         /* dec ecx */
    0x75, 0xfd,                   /* jne 0x6 */
    0xe6, 0x81,                   /* out 0x81,al */
    0xfb,                         /* sti */
    0x90,                         /* nop */
    0xe6, 0x82,                   /* out 0x82,al */
    0xf4,                         /* hlt */
};

static const u8 cross_32[] = {
    0xbb, 0x00, 0x50, 0x00, 0x00, /* mov ebx,0x5000 */
    0xb9, 0x00, 0x00, 0x00, 0x00, /* mov ecx,0x0 */
    0xff, 0xd3,                   /* call ebx */
    0x41,                         /* inc ecx */
    0x83, 0xf8, 0x77,             /* cmp eax,0x77 */
    0x75, 0xf8,                   /* jne 0xa */
    0xe7, 0x80,                   /* out 0x80,eax */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0x16 */
};

static const u8 value_32[] = {
    0xb8, 0x11, 0x00, 0x00, 0x00, /* mov eax,0x11 */
    0xc3,                         /* ret */
};

static const u8 writer_32[] = {
    0xbb, 0x00, 0x50, 0x00, 0x00, /* mov ebx,0x5000 */
    0xb9, 0x20, 0x4e, 0x00, 0x00, /* mov ecx,0x4e20 */
    0xc6, 0x43, 0x01, 0x12,       /* mov BYTE PTR [ebx+0x1],0x12 */
    0xc6, 0x43, 0x01, 0x13,       /* mov BYTE PTR [ebx+0x1],0x13 */
    0x49,                         /* dec ecx */
    0x75, 0xf5,                   /* jne 0xa */
    0xc6, 0x43, 0x01, 0x77,       /* mov BYTE PTR [ebx+0x1],0x77 */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0x1b */
};

static const u8 adder_32[] = {
    0xb9, 0xa0, 0x86, 0x01, 0x00,                   /* mov ecx,0x186a0 */
    0xf0, 0xff, 0x05, 0x00, 0x60, 0x00, 0x00,       /* lock inc DWORD PTR ds:0x6000 */
    0xb8, 0x01, 0x00, 0x00, 0x00,                   /* mov eax,0x1 */
    0xf0, 0x0f, 0xc1, 0x05, 0x04, 0x60, 0x00, 0x00, /* lock xadd DWORD PTR ds:0x6004,eax */
    0xa1, 0x08, 0x60, 0x00, 0x00,                   /* mov eax,ds:0x6008 */
    0x8d, 0x50, 0x01,                               /* lea edx,[eax+0x1] */
    0xf0, 0x0f, 0xb1, 0x15, 0x08, 0x60, 0x00, 0x00, /* lock cmpxchg DWORD PTR ds:0x6008,edx */
    0x75, 0xee,                                     /* jne 0x19 */
    0x49,                                           /* dec ecx */
    0x75, 0xd7,                                     /* jne 0x5 */
    0xe6, 0xf4,                                     /* out 0xf4,al */
    0xeb, 0xfe,                                     /* jmp 0x30 */
};

/* Programs of locked accesses, the same bytes in 32- and 64-bit mode: edi or rdi is where, esi how
 * often. */
static const u8 split_adder[] = {
    0xf0, 0x83, 0x07, 0x01,       /* lock add DWORD PTR [edi],0x1 */
    0xb8, 0x02, 0x00, 0x00, 0x00, /* mov eax,0x2 */
    0xf0, 0x0f, 0xc1, 0x07,       /* lock xadd DWORD PTR [edi],eax */
    0x8b, 0x07,                   /* mov eax,DWORD PTR [edi] */
    0x8d, 0x50, 0x03,             /* lea edx,[eax+0x3] */
    0xf0, 0x0f, 0xb1, 0x17,       /* lock cmpxchg DWORD PTR [edi],edx */
    0x75, 0xf7,                   /* jne 0xf */
    0xf0, 0x83, 0x0f, 0x00,       /* lock or DWORD PTR [edi],0x0 */
    0xff, 0xce,                   /* dec esi */
    0x75, 0xe0,                   /* jne 0x0 */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0x22 */
};

static const u8 half_adder[] = {
    0x66, 0xf0, 0x83, 0x47, 0x02, 0x01, /* lock add WORD PTR [edi+0x2],0x1 */
    0xff, 0xce,                         /* dec esi */
    0x75, 0xf6,                         /* jne 0x0 */
    0xe6, 0xf4,                         /* out 0xf4,al */
    0xeb, 0xfe,                         /* jmp 0xc */
};

static const u8 spin_adder[] = {
    0xb8, 0x01, 0x00, 0x00, 0x00,       /* mov eax,0x1 */
    0x87, 0x07,                         /* xchg DWORD PTR [edi],eax */
    0x85, 0xc0,                         /* test eax,eax */
    0x75, 0xfa,                         /* jne 0x5 */
    0xff, 0x47, 0x08,                   /* inc DWORD PTR [edi+0x8] */
    0xc7, 0x07, 0x00, 0x00, 0x00, 0x00, /* mov DWORD PTR [edi],0x0 */
    0xff, 0xce,                         /* dec esi */
    0x75, 0xe8,                         /* jne 0x0 */
    0xe6, 0xf4,                         /* out 0xf4,al */
    0xeb, 0xfe,                         /* jmp 0x1a */
};

static const u8 device_adder[] = {
    0xf0, 0xff, 0x07,             /* lock inc DWORD PTR [edi] */
    0xf0, 0x0f, 0xba, 0x3f, 0x1f, /* lock btc DWORD PTR [edi],0x1f */
    0xff, 0xce,                   /* dec esi */
    0x75, 0xf4,                   /* jne 0x0 */
    0xe6, 0xf4,                   /* out 0xf4,al */
    0xeb, 0xfe,                   /* jmp 0xe */
};

/* Runs twice from the start of the page that the word ends in, whose second byte it changes. */
static const u8 split_own_64[] = {
    0xb8, 0x11, 0x00, 0x00, 0x00,             /* mov eax,0x11 */
    0xf0, 0x81, 0x07, 0x00, 0x00, 0x00, 0x66, /* lock add DWORD PTR [rdi],0x66000000 */
    0xff, 0xce,                               /* dec esi */
    0x75, 0xf0,                               /* jne 0x0 */
    0xe7, 0x80,                               /* out 0x80,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x14 */
};

static const u8 recurse_64[] = {
    0xb9, 0x50, 0xc3, 0x00, 0x00,             /* mov ecx,0xc350 */
    0x48, 0xc7, 0xc4, 0x00, 0x00, 0x80, 0x00, /* mov rsp,0x800000 */
    0xe8, 0x06, 0x00, 0x00, 0x00,             /* call 0x17 */
    0xe7, 0x80,                               /* out 0x80,eax */
    0xe6, 0xf4,                               /* out 0xf4,al */
    0xeb, 0xfe,                               /* jmp 0x15 */
    0xff, 0xc0,                               /* inc eax */
    0xff, 0xc9,                               /* dec ecx */
    0x74, 0x05,                               /* je 0x22 */
    0xe8, 0xf5, 0xff, 0xff, 0xff,             /* call 0x17 */
    0xc3,                                     /* ret */
};

static const u8 count_64[] = {
    0xff, 0xc0,       /* inc eax */
    0xff, 0xc1,       /* inc ecx */
    0xff, 0xc3,       /* inc ebx */
    0x83, 0xfb, 0x0a, /* cmp ebx,0xa */
    0x75, 0xf9,       /* jne 0x4 */
    0xf4,             /* hlt */
};

/* -- Helpers */

enum { CODE = 0x4000, FUNCTION = 0x5000, HANDLER = 0x7000, IDT = 0x20000, GDT = 0x21000 };

#define LOAD(board, at, code) memcpy((board)->ram + (at), code, sizeof(code))

static bool wrote(const Board *board, u32 index, u16 port, u32 value)
{
    bool right = index < board->out_count && board->out[index].port == port &&
                 board->out[index].value == value;

    if (!right && index < board->out_count) {
        printf("# port %x: %x\n", board->out[index].port, board->out[index].value);
    }
    return right;
}

static void set_u64(Board *board, u64 at, u64 value)
{
    memcpy(board->ram + at, &value, 8);
}

/* Interrupt gates of all vectors to HANDLER, and a GDT with the board's code and data segments. */
static void make_tables(Board *board, u32 cpu, bool wide)
{
    X86State *s = board->cpu[cpu].state;

    for (u32 vector = 0; vector < 64; vector++) {
        u64 gate = (u64)8 << 16 | HANDLER | (u64)0x8e00 << 32;
        set_u64(board, IDT + vector * (wide ? 16u : 8u), gate);
    }
    set_u64(board, GDT + 8, wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
    set_u64(board, GDT + 16, 0x00cf93000000ffff);
    s->idt_base = IDT;
    s->idt_limit = 0xfff;
    s->gdt_base = GDT;
    s->gdt_limit = 0xff;
}

/* -- Tests */

static void test_run(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    const X86State *s = board->cpu[0].state;

    LOAD(board, CODE, sum_32);
    board_enter_32(board, 0, CODE);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_HALT && wrote(board, 0, 0x80, 500500) && s->gpr[X86_RBX] == 500500,
       "%s: a loop, the stack and a port, then HLT", host->name);
    kind = board_run(board, 0);
    OK(kind == CPU_EXIT_HALT && board->out_count == 1, "%s: it stays halted", host->name);
    board_free(board);
}

/* Deeper than returns are predicted. */
static void test_recursion(const Host *host)
{
    Board *board = board_new(host, 1, 0);

    LOAD(board, CODE, recurse_64);
    board_enter_64(board, 0, CODE);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && wrote(board, 0, 0x80, 50000), "%s: a deep recursion returns",
       host->name);
    board_free(board);
}

static void test_fault(const Host *host)
{
    Board *board = board_new(host, 1, 0);

    LOAD(board, CODE, fault_64);
    LOAD(board, HANDLER, handler_64);
    board_enter_64(board, 0, CODE);
    make_tables(board, 0, true);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && wrote(board, 0, 0x90, 0x40000008) &&
           wrote(board, 1, 0x91, 0) && wrote(board, 2, 0x92, CODE + 22) && wrote(board, 4, 0x94, 6),
       "%s: a load from a page that is absent faults with the state before it", host->name);
    OK(board->out_count == 5 && board->out[3].value & X86_EFLAGS_SF &&
           !(board->out[3].value & X86_EFLAGS_ZF),
       "%s: flags included", host->name);
    board_free(board);
}

static void test_crossing(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;

    LOAD(board, CODE, crossing_64);
    LOAD(board, HANDLER, handler_64);
    board_enter_64(board, 0, CODE);
    make_tables(board, 0, true);
    board_map_small(board, 0x600000, 0x800000 | 7);
    board_map_small(board, 0x601000, 0x700000 | 7);
    CpuExitKind kind = board_run(board, 0);
    u32 low, high;
    memcpy(&low, board->ram + 0x800ffc, 4);
    memcpy(&high, board->ram + 0x700000, 4);
    OK(kind == CPU_EXIT_INTERRUPT && s->gpr[X86_RBX] == 0x1122334455667788,
       "%s: an access across two pages", host->name);
    OK(s->gpr[X86_RCX] == 0 && low == 0x11223344 && high == 0, "%s: also of a vector", host->name);
    board_map_small(board, 0x601000, 0x700000);
    board->cpu[0].bus.flush_page(s, 0x601000);
    LOAD(board, CODE, split_64);
    engine_ram_written(board->engine, board->ram + CODE, sizeof split_64);
    s->rip = CODE;
    kind = board_run(board, 0);
    memcpy(&low, board->ram + 0x800ffc, 4);
    OK(kind == CPU_EXIT_INTERRUPT && wrote(board, 0, 0x90, 0x601000) && wrote(board, 1, 0x91, 2) &&
           low == 0x11223344,
       "%s: a store whose second page is absent writes nothing", host->name);
    board_free(board);
}

static u32 ram_word(const Board *board, u32 at)
{
    u32 word;

    memcpy(&word, board->ram + at, sizeof word);
    return word;
}

/* Accesses close to each other, which may share a probe. */
static void test_together(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    bool right = true;

    LOAD(board, CODE, together_64);
    LOAD(board, HANDLER, handler_64);
    board_enter_64(board, 0, CODE);
    make_tables(board, 0, true);
    board_map_small(board, 0x600000, 0x800000 | 7);
    board_map_small(board, 0x601000, 0x700000 | 7);
    for (u32 i = 0; i < 3; i++) { /* the TLB empty, and full */
        memset(board->ram + 0x800ff0, 0, 16);
        memset(board->ram + 0x700000, 0, 16);
        s->rip = CODE;
        right &= board_run(board, 0) == CPU_EXIT_INTERRUPT && wrote(board, i, 0x80, 0x307) &&
                 ram_word(board, 0x800ff0) == 1 && ram_word(board, 0x800ff8) == 2 &&
                 ram_word(board, 0x700000) == 3 && ram_word(board, 0x800ffc) == 4;
    }
    OK(right, "%s: accesses close to each other on both sides of a page's end", host->name);
    memset(board->ram + 0x800ff0, 0, 16);
    board_map_small(board, 0x601000, 0x700000);
    board->cpu[0].bus.flush_page(s, 0x601000);
    s->rip = CODE;
    board->out_count = 0;
    board_run(board, 0);
    OK(wrote(board, 0, 0x90, 0x601000) && wrote(board, 2, 0x92, CODE + 20) &&
           ram_word(board, 0x800ff8) == 2 && ram_word(board, 0x800ffc) == 0,
       "%s: one that faults does so after those before it", host->name);
    LOAD(board, CODE, remap_between_64);
    engine_ram_written(board->engine, board->ram + CODE, sizeof remap_between_64);
    memset(board->ram + 0x700010, 9, 1);
    s->rip = CODE;
    s->gpr[X86_RBX] = 0x13000;
    s->gpr[X86_RSI] = 0x700000 | 7;
    board->out_count = 0;
    board_run(board, 0);
    OK(wrote(board, 0, 0x80, 9) && ram_word(board, 0x800010) == 5 &&
           ram_word(board, 0x700018) == 6 && ram_word(board, 0x800018) == 0,
       "%s: the page becomes another one between them", host->name);
    board_free(board);
}

/* What a store that takes the slow way leaves in the host's registers. */
static void test_vector_stores(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    const X86State *s = board->cpu[0].state;

    LOAD(board, CODE, vectors_64);
    board_enter_64(board, 0, CODE);
    board->cpu[0].state->cr[4] |= X86_CR4_OSFXSR;
    board_map_small(board, 0x600000, 0x800000 | 7);
    board_map_small(board, 0x601000, 0x700000 | 7);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && s->gpr[X86_RBX] == 0x1122334455667788 &&
           s->gpr[X86_RCX] == s->gpr[X86_RBX],
       "%s: a vector stored across two pages and then again", host->name);
    board_free(board);
}

static void test_modify(const Host *host)
{
    Board *board = board_new(host, 1, 0);

    LOAD(board, CODE, modify_32);
    board_enter_32(board, 0, CODE);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && board->out_count == 6, "%s: code that changes itself runs",
       host->name);
    bool right = true;
    for (u32 i = 0; i < 3; i++) {
        right &= wrote(board, 2 * i, 0x80, 3 - i) && wrote(board, 2 * i + 1, 0x81, 3 - i);
    }
    OK(right, "%s: a store takes effect for the next instruction but one", host->name);
    board_free(board);
}

static void test_remap(const Host *host)
{
    static const u8 functions[][6] = {{0xb8, 1, 0, 0, 0, 0xc3}, /* mov eax, 1; ret */
                                      {0xb8, 2, 0, 0, 0, 0xc3},
                                      {0xb8, 3, 0, 0, 0, 0xc3}};
    Board *board = board_new(host, 1, 0);

    for (u32 i = 0; i < 3; i++) {
        memcpy(board->ram + 0x800000 + i * 0x1000, functions[i], 6);
    }
    LOAD(board, CODE, remap_64);
    board_enter_64(board, 0, CODE);
    board_map_small(board, 0x600000, 0x800000 | 7);
    set_u64(board, 0x13008, 0x801000 | 7); /* to be copied over the first entry */
    set_u64(board, 0x13010, 0x802000 | 7);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && wrote(board, 0, 0x80, 1) && wrote(board, 1, 0x81, 2) &&
           wrote(board, 2, 0x82, 3),
       "%s: other code mapped at the same address runs", host->name);
    board_free(board);
}

static void test_remap_data(const Host *host)
{
    enum { ROUNDS = 100, BEHIND = 0x10 };
    Board *board = board_new(host, 1, 0);
    bool right = true;

    for (u32 i = 0; i < 3; i++) {
        board->ram[0x800000 + i * 0x1000] = (u8)(i + 1);
        board->ram[0x800ffe + i * 0x1000] = (u8)(i + 1);
        set_u64(board, 0x13000 + i * 8 + (i ? 8 : 0), (0x800000 + i * 0x1000) | 7);
    }
    set_u64(board, 0x803000, BEHIND);
    board_map_small(board, 0x601000, 0x803000 | 7);
    LOAD(board, CODE, remap_data_64);
    board_enter_64(board, 0, CODE);
    board_map_small(board, 0x600000, 0x800000 | 7);
    CpuExitKind kind = board_run(board, 0);
    for (u32 i = 0; i < 3; i++) {
        right &= wrote(board, i, (u16)(0x80 + i), ROUNDS * (2 * (i + 1) + (BEHIND << 16)));
    }
    OK(kind == CPU_EXIT_INTERRUPT && right,
       "%s: loops load from other memory mapped at the address", host->name);
    board_free(board);
}

static void test_device(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    const X86State *s = board->cpu[0].state;

    board->device_value = 0x80f1;
    LOAD(board, CODE, device_32);
    board_enter_32(board, 0, CODE);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && board->device_writes == 5 && board->device_reads == 4,
       "%s: accesses reach the device (%u, %u)", host->name, board->device_writes,
       board->device_reads);
    OK(s->gpr[X86_RBX] == 0x78 && s->gpr[X86_RCX] == 0x5678, "%s: with their sizes", host->name);
    OK(board->device_value == 0x5678 + 10 && board->device_address == BOARD_DEVICE + 4 &&
           board->device_size == 4,
       "%s: it is read and written by one instruction", host->name);
    board_free(board);
}

typedef struct Raiser {
    Board *board;
    u32 count;
} Raiser;

static void *raise_often(void *opaque)
{
    Raiser *raiser = opaque;
    Board *board = raiser->board;

    for (u32 i = 0; i < raiser->count; i++) {
        __atomic_store_n(&board->vector, 0x20, __ATOMIC_SEQ_CST);
        vcpu_raise(board->cpu[0].vcpu, CPU_LINE_IRQ);
        while (__atomic_load_n(&board->out_count, __ATOMIC_SEQ_CST) == i) {
            sched_yield();
        }
    }
    vcpu_kick(board->cpu[0].vcpu);
    return NULL;
}

static void test_interrupt(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    Raiser raiser = {board, 100};
    pthread_t thread;

    LOAD(board, CODE, interrupt_32);
    LOAD(board, HANDLER, irq_handler_32);
    board_enter_32(board, 0, CODE);
    make_tables(board, 0, false);
    pthread_create(&thread, NULL, raise_often, &raiser);
    CpuExitKind kind = board_run(board, 0);
    pthread_join(thread, NULL);
    OK(kind == CPU_EXIT_INTERRUPT && s->gpr[X86_RDI] == 100,
       "%s: each interrupt is taken once (%llu)", host->name, (unsigned long long)s->gpr[X86_RDI]);
    board_free(board);
}

static void test_masked(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;

    LOAD(board, CODE, off_32);
    LOAD(board, HANDLER, irq_handler_32);
    board_enter_32(board, 0, CODE);
    make_tables(board, 0, false);
    board->vector = 0x20;
    vcpu_raise(board->cpu[0].vcpu, CPU_LINE_IRQ);
    vcpu_kick(board->cpu[0].vcpu);
    board_run(board, 0);
    OK(s->rip == CODE && s->gpr[X86_RDI] == 0, "%s: a kick comes first", host->name);
    s->gpr[X86_RAX] = 0;
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_HALT && wrote(board, 0, 0x81, 0) && wrote(board, 1, 0x90, 0) &&
           wrote(board, 2, 0x82, 0),
       "%s: an interrupt waits for STI and the instruction behind it", host->name);
    board_free(board);
}

static void request_interrupt(Board *board, u16 port, u32 value)
{
    (void)port, (void)value;
    board->vector = 0x20;
    vcpu_raise(board->cpu[0].vcpu, CPU_LINE_IRQ);
}

/* What lets an interrupt in, or asks for it, is followed by CLI, which comes too late; also when
 * the code is linked, as it is from the third time on. */
static void test_prompt(const Host *host)
{
    static const struct {
        const char *what;
        u8 code[10];
        bool waits; /* an interrupt, from the start */
    } cases[] = {
        {"OUT", {0xe6, 0x82, 0xfa, 0xf4}, false},             /* out 0x82,al; cli; hlt */
        {"OUTS", {0x6e, 0xfa, 0xf4}, false},                  /* outsb; cli; hlt */
        {"REP OUTS", {0xf3, 0x6e, 0xfa, 0xf4}, false},        /* rep outsb; cli; hlt */
        {"POPF", {0x68, 0, 2, 0, 0, 0x9d, 0xfa, 0xf4}, true}, /* push 0x200; popf; cli; hlt */
        {"STI and one more", {0xfb, 0x90, 0xfa, 0xf4}, true}, /* sti; nop; cli; hlt */
    };
    enum { ROUNDS = 4 };

    for (u32 i = 0; i < COUNT(cases); i++) {
        Board *board = board_new(host, 1, 0);
        X86State *s = board->cpu[0].state;
        LOAD(board, CODE, cases[i].code);
        LOAD(board, HANDLER, hlt_only);
        for (u32 round = 0; round < ROUNDS; round++) {
            bool last = round == ROUNDS - 1;
            board->port_write = last ? request_interrupt : NULL;
            board_enter_32(board, 0, CODE);
            make_tables(board, 0, false);
            s->gpr[X86_RCX] = 1;
            s->gpr[X86_RDX] = 0x82;
            s->gpr[X86_RSI] = 0x6000;
            s->eflags = cases[i].waits ? s->eflags & ~X86_EFLAGS_IF : s->eflags | X86_EFLAGS_IF;
            s->halted = 0;
            if (cases[i].waits && last) {
                request_interrupt(board, 0, 0);
            }
            board_run(board, 0);
        }
        OK(s->halted && s->rip == HANDLER + 1, "%s: an interrupt comes directly after %s",
           host->name, cases[i].what);
        board_free(board);
    }
}

static void test_wait(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    u32 halts = 0;

    LOAD(board, CODE, wait_32);
    LOAD(board, HANDLER, irq_handler_32);
    board_enter_32(board, 0, CODE);
    make_tables(board, 0, false);
    for (u32 i = 0; i < 10; i++) {
        halts += board_run(board, 0) == CPU_EXIT_HALT;
        board->vector = 0x20;
        vcpu_raise(board->cpu[0].vcpu, CPU_LINE_IRQ);
    }
    halts += board_run(board, 0) == CPU_EXIT_HALT;
    OK(halts == 11 && s->gpr[X86_RDI] == 10 && board->out_count == 20,
       "%s: interrupts wake a halted CPU", host->name);
    board_free(board);
}

static void *run_cpu(void *opaque)
{
    BoardCpu *cpu = opaque;

    exec_run(cpu->vcpu);
    return NULL;
}

static void run_all(Board *board)
{
    pthread_t threads[BOARD_CPUS];

    for (u32 i = 0; i < board->cpu_count; i++) {
        pthread_create(&threads[i], NULL, run_cpu, &board->cpu[i]);
    }
    for (u32 i = 0; i < board->cpu_count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void test_cross_modification(const Host *host)
{
    Board *board = board_new(host, 2, 0);

    LOAD(board, CODE, cross_32);
    LOAD(board, FUNCTION, value_32);
    LOAD(board, 0x8000, writer_32);
    board_enter_32(board, 0, CODE);
    board_enter_32(board, 1, 0x8000);
    board->cpu[1].state->gpr[X86_RSP] = 0xa000;
    run_all(board);
    OK(wrote(board, 0, 0x80, 0x77), "%s: a CPU sees what another makes of its code", host->name);
    board_free(board);
}

static void test_atomics(const Host *host)
{
    Board *board = board_new(host, 2, 0);
    u32 sums[3];

    LOAD(board, CODE, adder_32);
    board_enter_32(board, 0, CODE);
    board_enter_32(board, 1, CODE);
    run_all(board);
    memcpy(sums, board->ram + 0x6000, sizeof sums);
    OK(sums[0] == 200000 && sums[1] == 200000 && sums[2] == 200000,
       "%s: locked instructions are atomic", host->name);
    board_free(board);
}

/* The linear address of a word across the ends of two pages, and where in RAM these are. */
enum { SPLIT = 0x600ffe, SPLIT_FIRST = 0x580000, SPLIT_SECOND = 0x500000 };

/* Puts a CPU at `pc` with paging on, the split word's pages mapped apart from each other, its
 * address in rDI and `rounds` in ESI. */
static void enter_split(Board *board, u32 cpu, bool wide, u32 pc, u32 rounds)
{
    enum { DIRECTORY = 0x10000, TABLE = 0x13000, RIGHTS = 7, LARGE = 0x80 };
    X86State *s = board->cpu[cpu].state;
    u32 *directory = (u32 *)(void *)(board->ram + DIRECTORY);
    u32 *table = (u32 *)(void *)(board->ram + TABLE);

    if (wide) {
        board_enter_64(board, cpu, pc);
        board_map_small(board, 0x600000, SPLIT_FIRST | RIGHTS);
        board_map_small(board, 0x601000, SPLIT_SECOND | RIGHTS);
    } else {
        board_enter_32(board, cpu, pc);
        directory[0] = RIGHTS | LARGE;
        directory[1] = TABLE | RIGHTS;
        table[0x200] = SPLIT_FIRST | RIGHTS;
        table[0x201] = SPLIT_SECOND | RIGHTS;
        s->cr[0] |= X86_CR0_PG;
        s->cr[3] = DIRECTORY;
        s->cr[4] |= X86_CR4_PSE;
    }
    s->gpr[X86_RSP] -= 0x100 * cpu;
    s->gpr[X86_RDI] = SPLIT;
    s->gpr[X86_RSI] = rounds;
}

static u32 split_word(const Board *board)
{
    u16 low, high;

    memcpy(&low, board->ram + SPLIT_FIRST + 0xffe, 2);
    memcpy(&high, board->ram + SPLIT_SECOND, 2);
    return low | (u32)high << 16;
}

/* Two CPUs add to the word as a whole, one to its half that lies in the second page. */
static void test_split_atomics(const Host *host, bool wide)
{
    enum { ROUNDS = 50000, HALVES = 60000 };
    Board *board = board_new(host, 3, 0);
    u32 counted;

    LOAD(board, CODE, split_adder);
    LOAD(board, 0x8000, half_adder);
    for (u32 i = 0; i < 3; i++) {
        enter_split(board, i, wide, i == 2 ? 0x8000 : CODE, i == 2 ? HALVES : ROUNDS);
    }
    run_all(board);
    OK(split_word(board) == 2 * 6 * ROUNDS + ((u32)HALVES << 16),
       "%s: locked instructions are atomic across two pages (%d-bit: %#x)", host->name,
       wide ? 64 : 32, split_word(board));
    for (u32 i = 0; i < 3; i++) {
        enter_split(board, i, wide, 0x8000, ROUNDS);
    }
    LOAD(board, 0x8000, spin_adder);
    engine_ram_written(board->engine, board->ram + 0x8000, sizeof spin_adder);
    memset(board->ram + SPLIT_FIRST + 0xffe, 0, 2);
    memset(board->ram + SPLIT_SECOND, 0, 2);
    run_all(board);
    memcpy(&counted, board->ram + SPLIT_SECOND + 6, 4);
    OK(counted == 3 * ROUNDS, "%s: and so is XCHG (%d-bit: %u)", host->name, wide ? 64 : 32,
       counted);
    board_free(board);
}

static void test_split_fault(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    const X86State *s = board->cpu[0].state;

    LOAD(board, CODE, split_adder);
    LOAD(board, HANDLER, handler_64);
    board->track_dirty = true;
    enter_split(board, 0, true, CODE, 1);
    make_tables(board, 0, true);
    board_map_small(board, 0x601000, SPLIT_SECOND | 5);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && wrote(board, 0, 0x90, 0x601000) && wrote(board, 1, 0x91, 3) &&
           wrote(board, 2, 0x92, CODE) && split_word(board) == 0,
       "%s: a locked access whose second page is read-only writes nothing", host->name);
    for (u32 i = 0; i < 2; i++) {
        u32 page = i ? SPLIT_SECOND : SPLIT_FIRST;
        board->dirty[page / 4096] = 0;
        engine_watch_ram(board->engine, board->ram + page, 4096);
    }
    enter_split(board, 0, true, CODE, 1);
    board->cpu[0].bus.flush_page(board->cpu[0].state, 0x601000);
    kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && split_word(board) == 6 && s->gpr[X86_RSI] == 0 &&
           board->dirty[SPLIT_FIRST / 4096] && board->dirty[SPLIT_SECOND / 4096],
       "%s: one that is done is reported in both pages", host->name);
    board_free(board);
}

static void test_split_code(const Host *host)
{
    Board *board = board_new(host, 1, 0);

    LOAD(board, SPLIT_SECOND, split_own_64);
    enter_split(board, 0, true, 0x601000, 2);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_INTERRUPT && wrote(board, 0, 0x80, 0x77),
       "%s: a locked access across two pages changes the code that does it", host->name);
    board_free(board);
}

static void test_device_atomics(const Host *host)
{
    enum { ROUNDS = 20000 };
    Board *board = board_new(host, 2, 0);

    LOAD(board, CODE, device_adder);
    for (u32 i = 0; i < 2; i++) {
        board_enter_32(board, i, CODE);
        board->cpu[i].state->gpr[X86_RDI] = BOARD_DEVICE;
        board->cpu[i].state->gpr[X86_RSI] = ROUNDS;
    }
    run_all(board);
    OK(board->device_value == 2 * ROUNDS && board->device_writes == 4 * ROUNDS,
       "%s: locked instructions are atomic on devices (%#llx)", host->name,
       (unsigned long long)board->device_value);
    board_free(board);
}

/* What DMA writes is executed; what the CPU writes is reported. */
static void test_ram(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    static const u8 store[] = {0x88, 0x04, 0x25, 0x00, 0x60, 0x00, 0x00, /* mov [0x6000], al */
                               0xb0, 0x11,                               /* mov al, 0x11 */
                               0xf4};

    board->track_dirty = true;
    LOAD(board, CODE, store);
    board_enter_64(board, 0, CODE);
    for (u32 i = 0; i < 4; i++) {
        board->dirty[6] = 0;
        engine_watch_ram(board->engine, board->ram + 0x6000, 0x1000);
        s->rip = CODE;
        s->halted = 0;
        board->ram[CODE + 8] = (u8)i;
        engine_ram_written(board->engine, board->ram + CODE + 8, 1);
        board_run(board, 0);
        OK(board->dirty[6] && (u8)s->gpr[X86_RAX] == i,
           "%s: stores are reported, code from outside runs (%u)", host->name, i);
    }
    board_free(board);
}

static void test_debug(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    Vcpu *vcpu = board->cpu[0].vcpu;
    u32 stops = 0;

    LOAD(board, CODE, count_64);
    board_enter_64(board, 0, CODE);
    engine_add_breakpoint(board->engine, CODE + 4); /* the loop */
    while (board_run(board, 0) == CPU_EXIT_DEBUG && s->rip == CODE + 4) {
        stops++;
    }
    OK(stops == 10 && s->gpr[X86_RBX] == 10 && s->halted, "%s: a breakpoint stops each time (%u)",
       host->name, stops);
    engine_remove_breakpoint(board->engine, CODE + 4);
    s->rip = CODE;
    s->halted = 0;
    s->gpr[X86_RBX] = s->gpr[X86_RCX] = s->gpr[X86_RAX] = 0;
    vcpu_single_step(vcpu, true);
    CpuExitKind kind = board_run(board, 0);
    OK(kind == CPU_EXIT_DEBUG && s->rip == CODE + 2 && s->gpr[X86_RAX] == 1 &&
           s->gpr[X86_RCX] == 0 && cpu_common(s)->pc == CODE + 2,
       "%s: a step is one instruction", host->name);
    vcpu_single_step(vcpu, false);
    kind = board_run(board, 0);
    OK(kind == CPU_EXIT_HALT && s->gpr[X86_RBX] == 10, "%s: afterwards it runs on", host->name);
    u8 code[sizeof count_64], byte = 20;
    OK(vcpu_debug_read(vcpu, CODE, code, sizeof code) && !memcmp(code, count_64, sizeof code) &&
           !vcpu_debug_read(vcpu, 0x40000000, code, 1),
       "%s: a debugger reads what is mapped", host->name);
    s->rip = CODE;
    s->halted = 0;
    vcpu_debug_write(vcpu, CODE + 8, &byte, 1);
    kind = board_run(board, 0);
    OK(kind == CPU_EXIT_HALT && s->gpr[X86_RBX] == 20, "%s: and changes code", host->name);
    board_free(board);
}

int main(void)
{
    for (const Host *const *host = hosts; *host; host++) {
        test_run(*host);
        test_recursion(*host);
        test_fault(*host);
        test_crossing(*host);
        test_together(*host);
        test_vector_stores(*host);
        test_modify(*host);
        test_remap(*host);
        test_remap_data(*host);
        test_device(*host);
        test_interrupt(*host);
        test_masked(*host);
        test_prompt(*host);
        test_wait(*host);
        test_cross_modification(*host);
        test_atomics(*host);
        test_split_atomics(*host, false);
        test_split_atomics(*host, true);
        test_split_fault(*host);
        test_split_code(*host);
        test_device_atomics(*host);
        test_ram(*host);
        test_debug(*host);
    }
    return tap_done();
}
