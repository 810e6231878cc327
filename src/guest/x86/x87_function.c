/* x87 helper: the functions D9 F0 to D9 FF, except for FSQRT and FRNDINT, which are fast.
 *
 * On an x86-64 host its instruction runs with all exceptions masked, and if one is new, once more
 * under the guest's own control word: only the host can say what the host's transcendental
 * functions raise. Nothing traps, because what is pending is cleared before the next instruction
 * that would notice. */
#include "guest/x86/x87_helpers.h"
#include "guest/x86/x87_host.h"

/* The low four bits of the second opcode byte. */
enum {
    FUNCTION_2XM1,
    FUNCTION_YL2X,
    FUNCTION_PTAN,
    FUNCTION_PATAN,
    FUNCTION_XTRACT,
    FUNCTION_PREM1,
    FUNCTION_PREM = 8,
    FUNCTION_YL2XP1,
    FUNCTION_SINCOS = 11,
    FUNCTION_SCALE = 13,
    FUNCTION_SIN,
    FUNCTION_COS,
};

/* What a function does with the stack: its result replaces ST(0); or replaces it and another is
 * pushed; or replaces ST(1) and ST(0) is popped. */
enum { TWO_OPERANDS = 1, PUSHES = 2, POPS = 4 };

static const struct {
    u8 shape;
    bool trigonometric; /* leaves an operand alone that is too large, and says so in C2 */
    u16 conditions;     /* that the function defines */
} functions[16] = {
    [FUNCTION_2XM1] = {0, false, X87_C1},
    [FUNCTION_YL2X] = {TWO_OPERANDS | POPS, false, X87_C1},
    [FUNCTION_PTAN] = {PUSHES, true, X87_C1 | X87_C2},
    [FUNCTION_PATAN] = {TWO_OPERANDS | POPS, false, X87_C1},
    [FUNCTION_XTRACT] = {PUSHES, false, X87_C1},
    [FUNCTION_PREM1] = {TWO_OPERANDS, false, X87_CONDITIONS},
    [FUNCTION_PREM] = {TWO_OPERANDS, false, X87_CONDITIONS},
    [FUNCTION_YL2XP1] = {TWO_OPERANDS | POPS, false, X87_C1},
    [FUNCTION_SINCOS] = {PUSHES, true, X87_C1 | X87_C2},
    [FUNCTION_SCALE] = {TWO_OPERANDS, false, X87_C1},
    [FUNCTION_SIN] = {0, true, X87_C1 | X87_C2},
    [FUNCTION_COS] = {0, true, X87_C1 | X87_C2},
};

/* What a function made. */
typedef struct Outcome {
    F80 st[2];      /* the results: ST(0), and ST(1) below what is pushed */
    u16 exceptions; /* X87_* */
    u16 conditions;
    bool done; /* the results are to be written */
} Outcome;

#ifdef X87_HOST

/* Operands, then what is left on the stack. */
typedef struct HostRun {
    X86Fpr st[3];
    u16 control, status;
} HostRun;

/* Under the guest's control word, exceptions unmasked as the guest has them. FSTP of more registers
 * than there are gives indefinite, and an exception in the host's status word that the next FNINIT,
 * or x87_host_accept(), clears. */
#define RUN_EXACTLY(instruction)                                                                   \
    __asm__ volatile("fninit\n\tfldt %1\n\tfldt %0\n\tfldcw %4\n\t" instruction                    \
                     "\n\tfnstsw %3\n\tfnclex\n\tfldcw %5\n\tfstpt %0\n\tfstpt %1\n\tfstpt %2"     \
                     : "+m"(run->st[0]), "+m"(run->st[1]), "=m"(run->st[2]), "=m"(run->status)     \
                     : "m"(run->control), "m"(usual)                                               \
                     : X87_CLOBBERS)

/* With all exceptions masked. Sticky exceptions are in the status as well; the guest has them. */
#define RUN_MASKED(instruction, stores)                                                            \
    __asm__ volatile("fldt %1\n\tfldt %0\n\t" instruction "\n\tfnstsw %3\n\t" stores               \
                     : "+m"(run->st[0]), "+m"(run->st[1]), "=m"(run->st[2]), "=&a"(run->status)    \
                     :                                                                             \
                     : X87_CLOBBERS)
#define STORE1 "fstpt %0"
#define STORE2 "fstpt %0\n\tfstp %%st(0)"
#define STORE3 "fstpt %0\n\tfstpt %1\n\tfstpt %2"

#define RUN(instruction, stores)                                                                   \
    do {                                                                                           \
        if (exactly) {                                                                             \
            RUN_EXACTLY(instruction);                                                              \
        } else {                                                                                   \
            RUN_MASKED(instruction, stores);                                                       \
        }                                                                                          \
    } while (0)

static void host_run(HostRun *run, unsigned function, bool exactly)
{
    u16 usual = X87_CONTROL_DEFAULT;

    switch (function) {
    case FUNCTION_2XM1:
        RUN("f2xm1", STORE2);
        return;
    case FUNCTION_YL2X:
        RUN("fyl2x", STORE1);
        return;
    case FUNCTION_PTAN:
        RUN("fptan", STORE3);
        return;
    case FUNCTION_PATAN:
        RUN("fpatan", STORE1);
        return;
    case FUNCTION_XTRACT:
        RUN("fxtract", STORE3);
        return;
    case FUNCTION_PREM1:
        RUN("fprem1", STORE2);
        return;
    case FUNCTION_PREM:
        RUN("fprem", STORE2);
        return;
    case FUNCTION_YL2XP1:
        RUN("fyl2xp1", STORE1);
        return;
    case FUNCTION_SINCOS:
        RUN("fsincos", STORE3);
        return;
    case FUNCTION_SCALE:
        RUN("fscale", STORE2);
        return;
    case FUNCTION_SIN:
        RUN("fsin", STORE2);
        return;
    default:
        RUN("fcos", STORE2);
        return;
    }
}

static Outcome run_function(X86State *s, unsigned function)
{
    enum { LOSING = X87_INVALID | X87_DENORMAL | X87_DIVZERO };
    HostRun operands = {.control = s->fcw}, run;

    x87_restore(&operands.st[0], x87_get(s, 0));
    x87_restore(&operands.st[1], x87_get(s, 1));
    run = operands;
    x87_host_begin(s);
    host_run(&run, function, false);
    x87_host_end(s);
    if (!x87_host_usable(s) || !x87_host_accept(s, run.status, 0)) {
        run = operands;
        host_run(&run, function, true);
    }
    bool reduced = !(run.status & X87_C2 && functions[function].trigonometric);
    return (Outcome){
        .st = {{run.st[0].significand, run.st[0].sign_exponent},
               {run.st[1].significand, run.st[1].sign_exponent}},
        .exceptions = run.status & X87_EXCEPTIONS,
        .conditions = run.status & X87_CONDITIONS,
        .done = reduced && !(run.status & ~s->fcw & LOSING),
    };
}

#else

static u16 quotient_conditions(F80Quotient quotient)
{
    return (u16)((quotient.low_bits & 1 ? X87_C1 : 0) | (quotient.low_bits & 2 ? X87_C3 : 0) |
                 (quotient.low_bits & 4 ? X87_C0 : 0) | (quotient.partial ? X87_C2 : 0));
}

/* The results of a function of ST(0) and ST(1). *reduced becomes false where a trigonometric
 * function leaves an operand alone because it is too large. */
static void soft_function(F80Env *env, unsigned function, FpValue a, FpValue b, F80 st[2],
                          bool *reduced, u16 *conditions)
{
    F80Quotient quotient;

    switch (function) {
    case FUNCTION_2XM1:
        st[0] = f80_2xm1(env, a);
        return;
    case FUNCTION_YL2X:
        st[0] = f80_yl2x(env, a, b);
        return;
    case FUNCTION_PTAN:
        st[1] = f80_tan(env, a, reduced);
        st[0] = fp_is_nan(f80_unpack(st[1])) ? st[1] : (F80){(u64)1 << 63, F80_BIAS};
        return;
    case FUNCTION_PATAN:
        st[0] = f80_atan(env, b, a);
        return;
    case FUNCTION_XTRACT:
        st[0] = f80_extract(env, a, &st[1]);
        return;
    case FUNCTION_PREM1:
    case FUNCTION_PREM:
        st[0] = f80_remainder(env, a, b, function == FUNCTION_PREM1, &quotient);
        *conditions = quotient_conditions(quotient);
        return;
    case FUNCTION_YL2XP1:
        st[0] = f80_yl2xp1(env, a, b);
        return;
    case FUNCTION_SINCOS:
        st[1] = f80_sin(env, a, reduced);
        st[0] = f80_cos(env, a, reduced);
        return;
    case FUNCTION_SCALE:
        st[0] = f80_scale(env, a, b);
        return;
    case FUNCTION_SIN:
        st[0] = f80_sin(env, a, reduced);
        return;
    default:
        st[0] = f80_cos(env, a, reduced);
        return;
    }
}

static Outcome run_function(X86State *s, unsigned function)
{
    Outcome outcome = {.done = true};
    F80Env env = x87_env(s);
    bool reduced = true;

    soft_function(&env, function, x87_value(s, 0), x87_value(s, 1), outcome.st, &reduced,
                  &outcome.conditions);
    outcome.exceptions = x87_exceptions_of(&env);
    outcome.conditions |= (env.rounded_up ? X87_C1 : 0) | (reduced ? 0 : X87_C2);
    outcome.done = reduced && !f80_result_lost(&env, F80_REGISTER);
    return outcome;
}

#endif

static void write_results(X86State *s, unsigned shape, const F80 st[2])
{
    if (shape & PUSHES) {
        x87_set(s, 0, st[1]);
        x87_push(s, st[0]);
    } else if (shape & POPS) {
        x87_set(s, 1, st[0]);
        x87_pop(s);
    } else {
        x87_set(s, 0, st[0]);
    }
}

/* (low four bits of the opcode) */
void x87_function(void *state, IrWord *io)
{
    X86State *s = state;
    unsigned function = io[1].i & 15, shape = functions[function].shape;
    bool underflow = x87_is_empty(s, 0) || (shape & TWO_OPERANDS && x87_is_empty(s, 1));
    u16 conditions = functions[function].conditions;

    if (underflow || (shape & PUSHES && !x87_is_empty(s, 7))) {
        s->fsw &= (u16) ~(conditions & X87_C2);
        if (x87_stack_fault(s, !underflow)) {
            write_results(s, shape, (const F80[]){f80_indefinite(), f80_indefinite()});
        }
        return;
    }
    Outcome outcome = run_function(s, function);
    if (!outcome.done || fp_is_nan(f80_unpack(outcome.st[0]))) {
        conditions &= X87_C1 | X87_C2; /* FPREM has no quotient */
    }
    s->fsw = (u16)((s->fsw & ~conditions) | (outcome.conditions & conditions));
    x87_raise(s, outcome.exceptions);
    if (outcome.done) {
        write_results(s, shape, outcome.st);
    }
}
