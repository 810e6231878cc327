/* A bytecode interpreter running a sieve and a nested loop: the dispatch is one switch, or with
 * COMPUTED_GOTO one indirect jump per instruction. */
#include "bench.h"

/* Each operation: its name, and what it does with the stack `top`, `locals` and `operand`. */
#define OPERATIONS(X)                                                                              \
    X(PUSH, *++top = operand)                                                                      \
    X(LOAD, *++top = locals[operand])                                                              \
    X(STORE, locals[operand] = *top--)                                                             \
    X(ADD, top--; *top += top[1])                                                                  \
    X(SUB, top--; *top -= top[1])                                                                  \
    X(MUL, top--; *top *= top[1])                                                                  \
    X(LESS, top--; *top = *top < top[1])                                                           \
    X(JUMP, pc = program + operand)                                                                \
    X(JUMP_IF_NOT, pc = *top-- ? pc : program + operand)                                           \
    X(GET, *top = memory[*top])                                                                    \
    X(PUT, memory[*top--] = operand)                                                               \
    X(HALT, return *top)

#define NAME(name, code) name,
enum op { OPERATIONS(NAME) OPS };

struct instruction {
    uint8_t op;
    int32_t operand;
};

enum { LIMIT = 8192 };

static int64_t memory[LIMIT];

/* for (i = 2; i < LIMIT; i++)
 *     if (memory[i] < 1) { sum += i; for (j = i + i; j < LIMIT; j += i) memory[j] = 1; }
 * with i, j and sum in locals 0, 1 and 2. */
static const struct instruction program[] = {
    {PUSH, 2},  {STORE, 0},                                  /* 0: i = 2 */
    {LOAD, 0},  {PUSH, LIMIT}, {LESS, 0}, {JUMP_IF_NOT, 31}, /* 2: i < LIMIT */
    {LOAD, 0},  {GET, 0},      {PUSH, 1}, {LESS, 0},         {JUMP_IF_NOT, 26},
    {LOAD, 2},  {LOAD, 0},     {ADD, 0},  {STORE, 2},                    /* 11: sum += i */
    {LOAD, 0},  {LOAD, 0},     {ADD, 0},  {STORE, 1},                    /* 15: j = i + i */
    {LOAD, 1},  {PUSH, LIMIT}, {LESS, 0}, {JUMP_IF_NOT, 26},             /* 19: j < LIMIT */
    {LOAD, 1},  {PUT, 1},                                                /* 23: memory[j] = 1 */
    {JUMP, 33},                                                          /* 25 */
    {LOAD, 0},  {PUSH, 1},     {ADD, 0},  {STORE, 0},        {JUMP, 2},  /* 26: i++ */
    {LOAD, 2},  {HALT, 0},                                               /* 31: the sum */
    {LOAD, 1},  {LOAD, 0},     {ADD, 0},  {STORE, 1},        {JUMP, 19}, /* 33: j += i */
};

#ifdef COMPUTED_GOTO
static int64_t run(void)
{
#define LABEL(name, code) &&label_##name,
#define BODY(name, code)                                                                           \
    label_##name : code;                                                                           \
    operand = pc->operand;                                                                         \
    goto *labels[pc++->op];
    static const void *const labels[OPS] = {OPERATIONS(LABEL)};
    int64_t stack[16], *top = stack, locals[4] = {0};
    const struct instruction *pc = program + 1;
    int64_t operand = program->operand;

    goto *labels[program->op];
    OPERATIONS(BODY)
}
#else
static int64_t run(void)
{
#define CASE(name, code)                                                                           \
    case name:                                                                                     \
        code;                                                                                      \
        break;
    int64_t stack[16], *top = stack, locals[4] = {0};
    const struct instruction *pc = program;

    for (;;) {
        int64_t operand = pc->operand;
        switch (pc++->op) {
            OPERATIONS(CASE)
        default:
            return -1;
        }
    }
}
#endif

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t sum = 0;
    for (int round = 0; round < size; round++) {
        memset(memory, 0, sizeof(memory));
        sum = sum * 31 + (uint64_t)run();
    }
    return bench_result(sum);
}
