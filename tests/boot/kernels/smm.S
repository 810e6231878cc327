/* A multiboot kernel that tries system management mode as the PC's chipset enters it: by the port
 * 0xb2, with a handler in memory that nobody else sees. Linked at 1 MiB.
 *
 * It leaves its mark, 16 for success or the number of the step that failed, in isa-debug-exit at
 * 0xf4. */
        .set MAGIC, 0x1badb002
        .set EXIT, 0xf4
        .set COMMAND, 0xb2              /* APMC */
        .set GLOBAL_CONTROL, 0x628      /* GLBCTL, where a machine without firmware has it */
        .set BRIDGE, 0x80000000         /* configuration addresses: 0:0.0, */
        .set POWER, 0x80000b00          /* and 0:1.3 */
        .set COUNTER, 0x7000
        .set FIRST, 0x38000             /* the handler's place after a reset, */
        .set HIDDEN, 0xa8000            /* and the one that it moves to */
        .set SMRAM_BYTE, 0xcfe          /* of the bridge's register 0x70 */

        .text
        .long MAGIC, 0, -MAGIC

        .macro copy from, to, end
        movl $\from, %esi
        movl $\to, %edi
        movl $\end - \from, %ecx
        cld
        rep movsb
        .endm

        .macro configure address, value
        movl $0xcf8, %edx
        movl $\address, %eax
        outl %eax, %dx
        movl $0xcfc, %edx
        movl $\value, %eax
        outl %eax, %dx
        .endm

        .macro smram value
        movl $0xcf8, %edx
        movl $BRIDGE | 0x70, %eax
        outl %eax, %dx
        movl $SMRAM_BYTE, %edx
        movb $\value, %al
        outb %al, %dx
        .endm

        .macro expect step, register, value
        movb $\step, %bl
        cmpl $\value, \register
        jne finish
        .endm

        .globl _start
_start: movl $0, COUNTER
        configure POWER | 0x58, 0x02000000      /* DEVACTB: APMC_EN */
        movl $GLOBAL_CONTROL, %edx
        movl $1, %eax
        outl %eax, %dx

        /* Move the CPU's handler. */
        copy move, FIRST, move_end
        outb %al, $COMMAND
        expect 1, COUNTER, 1

        /* Put the other one where the graphics adapter's memory is. */
        smram 0x4a
        copy count, HIDDEN, count_end
        movl HIDDEN, %ecx
        smram 0x0a
        expect 2, %ecx, 0x05ff6667              /* while the window is open it is seen, */
        movl HIDDEN, %ecx
        movb $3, %bl
        cmpl $0x05ff6667, %ecx                  /* and afterwards it is not */
        je finish
        outb %al, $COMMAND
        expect 4, COUNTER, 2

        /* Locked, it cannot be opened again. */
        smram 0x1a
        smram 0x4a
        movl HIDDEN, %ecx
        movb $5, %bl
        cmpl $0x05ff6667, %ecx
        je finish
        outb %al, $COMMAND
        expect 6, COUNTER, 3
        movb $16, %bl

finish: movzbl %bl, %eax
        outl %eax, $EXIT
        hlt

        .code16
move:   movl $HIDDEN - 0x8000, %cs:0xff00       /* SMBASE, in AMD's save area */
        addr32 incl COUNTER
        rsm
move_end:

count:  addr32 incl COUNTER
        rsm
count_end:
