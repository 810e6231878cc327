/* Printers of the operands that the assembler text of the .isa tables names with `%name(...)`.
 * They print what GNU binutils' disassembler prints without aliases. */
#ifndef GUEST_AARCH64_OPERANDS_H
#define GUEST_AARCH64_OPERANDS_H

#include "guest/insn.h"

/* General registers; 31 is the zero register, or with `sp` in the name the stack pointer. */
void aarch64_print_w(Text *text, s64 n);
void aarch64_print_x(Text *text, s64 n);
void aarch64_print_r(Text *text, s64 sf, s64 n);
void aarch64_print_wsp(Text *text, s64 n);
void aarch64_print_xsp(Text *text, s64 n);
void aarch64_print_rsp(Text *text, s64 sf, s64 n);

/* A decimal number without, a hexadecimal one with `#` before it; an absolute address. */
void aarch64_print_dec(Text *text, s64 value);
void aarch64_print_hex(Text *text, s64 value);
void aarch64_print_address(Text *text, s64 address);

void aarch64_print_cond(Text *text, s64 cond);
void aarch64_print_barrier(Text *text, s64 option);
void aarch64_print_prefetch(Text *text, s64 operation);
/* System register op0:op1:CRn:CRm:op2: its name if user code meets it, else S<op0>_<op1>_... */
void aarch64_print_sysreg(Text *text, s64 reg);

/* ", lsl #3"; nothing for LSL by 0. */
void aarch64_print_shift(Text *text, s64 kind, s64 amount);
/* ", uxtw #2" behind a register; LSL where `sp` (an operand is the stack pointer) and natural. */
void aarch64_print_extend(Text *text, s64 sf, s64 option, s64 amount, s64 sp);

/* "[x0, #8]", "[x0], #8", "[x0, #8]!": mode 0 and 2 offset, 1 post-index, 3 pre-index. */
void aarch64_print_mem(Text *text, s64 base, s64 mode, s64 offset);
/* "w1, sxtw #2": the index of an address; `shifted` is the S bit. */
void aarch64_print_index(Text *text, s64 n, s64 option, s64 shifted, s64 shift);

/* Scalar registers b, h, s, d, q by size 0..4. */
void aarch64_print_f(Text *text, s64 size, s64 n);
/* The same by the type field of floating-point instructions: 0 s, 1 d, 3 h. */
void aarch64_print_ft(Text *text, s64 type, s64 n);
/* Whole vectors, "v0.4s"; one lane, "v0.s[1]"; either a scalar or a whole vector. */
void aarch64_print_v(Text *text, s64 q, s64 size, s64 n);
void aarch64_print_lane(Text *text, s64 size, s64 n, s64 index);
void aarch64_print_sv(Text *text, s64 scalar, s64 q, s64 size, s64 n);
/* "{v0.4s-v1.4s}", "{v0.s-v1.s}[2]": `count` registers, wrapping round after 31. */
void aarch64_print_list(Text *text, s64 count, s64 q, s64 size, s64 n);
void aarch64_print_lanes(Text *text, s64 count, s64 size, s64 n, s64 index);
/* "[x0]", or post-indexed "[x0], x1" and "[x0], #16" (rm = 31) for structures of `bytes` bytes. */
void aarch64_print_struct_mem(Text *text, s64 base, s64 post, s64 rm, s64 bytes);
/* The number that an 8-bit floating-point immediate stands for. */
void aarch64_print_fp_imm(Text *text, s64 imm8);

#endif
