/* An AArch64 program: executes the ArmRequests on standard input, and writes the ArmReplies to
 * standard output. Run by test_softfloat_arm.c, under an emulator or on an Arm machine. */
#include <stdio.h>

#include "softfloat_arm.h"

typedef ArmReply Operation(const ArmRequest *request);

/* In one asm statement, so that the compiler's own code never sees this FPCR. */
#define EXECUTE(code)                                                                              \
    {                                                                                              \
        register u64 x0 __asm__("x0") = request->operands[0];                                      \
        u64 fpsr;                                                                                  \
        __asm__ volatile("fmov d0, x0\n\tldp d1, d2, [%2]\n\t"                                     \
                         "msr fpcr, %3\n\tmsr fpsr, xzr\n\t" code                                  \
                         "\n\tmrs %1, fpsr\n\tmsr fpcr, xzr"                                       \
                         : "+&r"(x0), "=&r"(fpsr)                                                  \
                         : "r"(&request->operands[1]), "r"((u64)request->fpcr), "m"(*request)      \
                         : "v0", "v1", "v2", "cc");                                                \
        return (ArmReply){x0, fpsr};                                                               \
    }

#define DEFINE(name, count, type, code, soft)                                                      \
    static ArmReply name(const ArmRequest *request) EXECUTE(code)
ARM_OPERATIONS(DEFINE)

#define ENTRY(name, count, type, code, soft) name,
static Operation *const operations[] = {ARM_OPERATIONS(ENTRY)};

int main(void)
{
    ArmRequest request;

    while (fread(&request, sizeof(request), 1, stdin) == 1) {
        if (request.operation >= COUNT(operations)) {
            return 1;
        }
        ArmReply reply = operations[request.operation](&request);
        fwrite(&reply, sizeof(reply), 1, stdout);
    }
    return 0;
}
