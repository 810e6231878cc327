/* Soft float against an AArch64 machine, usually QEMU's: results and FPSR of the operations in
 * softfloat_arm.h, in the four rounding modes of FPCR, with FZ, DN and AHP.
 * Usage: test_softfloat_arm GUEST N [EMULATOR]: GUEST is softfloat_arm_guest built for AArch64,
 * run by EMULATOR, or directly on an Arm machine. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/softfloat.h"

#include "../tap.h"
#include "softfloat_arm.h"
#include "softfloat_operands.h"

enum { ROUNDINGS = 4, FPSR_FLAGS = 0x9f, OPERANDS_PER_MODE = 400, FAILURES_SHOWN = 5 };

static const char *const rounding_names[ROUNDINGS] = {"nearest", "up", "down", "to zero"};

typedef u64 SoftOperation(FpEnv *e, const u64 *x, bool ahp);

typedef struct ArmOperation {
    const char *name;
    unsigned operand_count;
    const OperandType *type;
    SoftOperation *soft;
} ArmOperation;

/* The flags N, Z, C and V after a comparison. */
static u64 nzcv(FpRelation relation)
{
    return (u64)(const u8[]){0x8, 0x6, 0x2, 0x3}[relation] << 28;
}

#define DEFINE(name, count, type, code, expression)                                                \
    static u64 name(FpEnv *e, const u64 *x, bool ahp)                                              \
    {                                                                                              \
        (void)e, (void)ahp;                                                                        \
        return expression;                                                                         \
    }
ARM_OPERATIONS(DEFINE)

#define ENTRY(name, count, type, code, expression) {#name, count, &operand_##type, name},
static const ArmOperation operations[] = {ARM_OPERATIONS(ENTRY)};

/* Writes the requests of every operation and rounding mode, in the order check_all() reads. */
static void write_requests(FILE *file, unsigned count)
{
    Operands random = {.state = 0x9e3779b97f4a7c15};

    for (u32 op = 0; op < COUNT(operations); op++) {
        for (u32 i = 0; i < ROUNDINGS * count; i++) {
            ArmRequest request = {.operation = op, .fpcr = i / count << FPCR_ROUNDING_SHIFT};
            request.fpcr |= (i & 1 ? FPCR_FZ : 0) | (i & 2 ? FPCR_DN : 0) | (i & 4 ? FPCR_AHP : 0);
            for (unsigned k = 0; k < operations[op].operand_count; k++) {
                request.operands[k] = next_operand(&random, operations[op].type);
            }
            fwrite(&request, sizeof(request), 1, file);
        }
    }
    rewind(file);
}

/* Runs the command on the requests; false if it does not end well. */
static bool run_guest(char **command, FILE *requests, FILE *replies)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        dup2(fileno(requests), STDIN_FILENO);
        dup2(fileno(replies), STDOUT_FILENO);
        execv(command[0], command);
        _exit(127);
    }
    bool ended = child > 0 && waitpid(child, &status, 0) == child;
    rewind(replies);
    return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool agrees(const ArmRequest *request, const ArmReply *reply)
{
    const ArmOperation *op = &operations[request->operation];
    bool flush = request->fpcr & FPCR_FZ, ahp = request->fpcr & FPCR_AHP;
    FpEnv env = {.rounding = request->fpcr >> FPCR_ROUNDING_SHIFT & 3, /* in FpRounding's order */
                 .flush_inputs = flush,
                 .flush_outputs = flush,
                 .default_nan = request->fpcr & FPCR_DN,
                 .nan_rule = FP_NAN_ARM};
    u64 result = op->soft(&env, request->operands, ahp);

    if (result == reply->result && env.flags == (reply->fpsr & FPSR_FLAGS)) {
        return true;
    }
    printf("# %s %016lx %016lx %016lx%s%s%s: machine %016lx FPSR %02lx, soft %016lx flags %02x\n",
           op->name, request->operands[0], request->operands[1], request->operands[2],
           flush ? " FZ" : "", env.default_nan ? " DN" : "", ahp ? " AHP" : "", reply->result,
           reply->fpsr & FPSR_FLAGS, result, env.flags);
    return false;
}

static void check_all(FILE *requests, FILE *replies, unsigned count)
{
    for (u32 op = 0; op < COUNT(operations); op++) {
        for (u32 rounding = 0; rounding < ROUNDINGS; rounding++) {
            unsigned failures = 0;
            for (unsigned i = 0; i < count; i++) {
                ArmRequest request;
                ArmReply reply;
                if (fread(&request, sizeof(request), 1, requests) != 1 ||
                    fread(&reply, sizeof(reply), 1, replies) != 1) {
                    failures++;
                    printf("# the machine gave too few results\n");
                    break;
                }
                failures += failures < FAILURES_SHOWN && !agrees(&request, &reply);
            }
            OK(failures == 0, "%s, %s", operations[op].name, rounding_names[rounding]);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: test_softfloat_arm GUEST N [EMULATOR]\n");
        return 2;
    }
    unsigned count = OPERANDS_PER_MODE * (unsigned)strtoul(argv[2], NULL, 0);
    char *emulated[] = {argc > 3 ? argv[3] : NULL, argv[1], NULL};
    FILE *requests = tmpfile(), *replies = tmpfile();

    if (!requests || !replies) {
        perror("temporary file");
        return 2;
    }
    write_requests(requests, count);
    OK(run_guest(argc > 3 ? emulated : emulated + 1, requests, replies), "the guest program runs");
    rewind(requests);
    check_all(requests, replies, count);
    return tap_done();
}
