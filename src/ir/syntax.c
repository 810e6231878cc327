/* The table behind the IR's text form: see syntax.h. Only data. */
#include "ir/syntax.h"
#include "ir/softfloat.h"

static const IrSubName cmp_names[] = {
    {"eq", 0xff, IR_EQ},
    {"ne", 0xff, IR_NE},
    {"slt", 0xff, IR_SLT},
    {"sge", 0xff, IR_SGE},
    {"sgt", 0xff, IR_SGT},
    {"sle", 0xff, IR_SLE},
    {"ult", 0xff, IR_ULT},
    {"uge", 0xff, IR_UGE},
    {"ugt", 0xff, IR_UGT},
    {"ule", 0xff, IR_ULE},
    {"tst", 0xff, IR_TST},
    {"tstz", 0xff, IR_TSTZ},
    {0},
};

static const IrSubName cond_names[] = {
    {"z", 0xff, IR_COND_Z},
    {"nz", 0xff, IR_COND_NZ},
    {"c", 0xff, IR_COND_C},
    {"nc", 0xff, IR_COND_NC},
    {"n", 0xff, IR_COND_N},
    {"nn", 0xff, IR_COND_NN},
    {"v", 0xff, IR_COND_V},
    {"nv", 0xff, IR_COND_NV},
    {"hi", 0xff, IR_COND_HI},
    {"ls", 0xff, IR_COND_LS},
    {"ge", 0xff, IR_COND_GE},
    {"lt", 0xff, IR_COND_LT},
    {"gt", 0xff, IR_COND_GT},
    {"le", 0xff, IR_COND_LE},
    {"a", 0xff, IR_COND_A},
    {"be", 0xff, IR_COND_BE},
    {"p", 0xff, IR_COND_P},
    {"np", 0xff, IR_COND_NP},
    {0},
};

static const IrSubName fcmp_names[] = {
    {"eq", 15, IR_FEQ},
    {"ne", 15, IR_FNE},
    {"lt", 15, IR_FLT},
    {"nlt", 15, IR_FNLT},
    {"le", 15, IR_FLE},
    {"nle", 15, IR_FNLE},
    {"gt", 15, IR_FGT},
    {"ngt", 15, IR_FNGT},
    {"ge", 15, IR_FGE},
    {"nge", 15, IR_FNGE},
    {"uno", 15, IR_FUNO},
    {"ord", 15, IR_FORD},
    {"ueq", 15, IR_FUEQ},
    {"one", 15, IR_FONE},
    {"false", 15, IR_FFALSE},
    {"true", 15, IR_FTRUE},
    {"signalling", IR_FCMP_SIGNALLING, IR_FCMP_SIGNALLING},
    {0},
};

static const IrSubName rounding_names[] = {
    {"nearest", 7, FP_NEAREST_EVEN},
    {"up", 7, FP_UP},
    {"down", 7, FP_DOWN},
    {"zero", 7, FP_TO_ZERO},
    {"away", 7, FP_NEAREST_AWAY},
    {"odd", 7, FP_TO_ODD},
    {"current", 7, IR_ROUND_CURRENT},
    {"exact", IR_ROUND_EXACT, IR_ROUND_EXACT},
    {"unsigned", IR_UNSIGNED, IR_UNSIGNED},
    {"indefinite", IR_INDEFINITE, IR_INDEFINITE},
    {0},
};

static const IrSubName scalar_name[] = {{"scalar", IR_SCALAR, IR_SCALAR}, {0}};

static const IrSubName minmax_names[] = {
    {"x86", IR_X86, IR_X86},
    {"scalar", IR_SCALAR, IR_SCALAR},
    {0},
};

static const IrSubName fma_names[] = {
    {"negate_product", IR_FMA_NEGATE_PRODUCT, IR_FMA_NEGATE_PRODUCT},
    {"negate_addend", IR_FMA_NEGATE_ADDEND, IR_FMA_NEGATE_ADDEND},
    {"even", IR_FMA_EVEN, IR_FMA_EVEN},
    {"odd", IR_FMA_ODD, IR_FMA_ODD},
    {"scalar0", IR_FMA_SCALAR, IR_FMA_SCALAR0},
    {"scalar1", IR_FMA_SCALAR, IR_FMA_SCALAR1},
    {"scalar2", IR_FMA_SCALAR, IR_FMA_SCALAR2},
    {0},
};

static const IrSubName unsigned_name[] = {{"unsigned", IR_UNSIGNED, IR_UNSIGNED}, {0}};

static const IrSubName vector_names[] = {
    {"signed", IR_SIGNED, IR_SIGNED},
    {"rounding", IR_ROUNDING, IR_ROUNDING},
    {"high", IR_HIGH, IR_HIGH},
    {"to_unsigned", IR_TO_UNSIGNED, IR_TO_UNSIGNED},
    {0},
};

static const IrSubName memory_names[] = {
    {"big_endian", IR_MEM_BIG_ENDIAN, IR_MEM_BIG_ENDIAN},
    {"acquire", IR_MEM_ACQUIRE, IR_MEM_ACQUIRE},
    {"release", IR_MEM_RELEASE, IR_MEM_RELEASE},
    {"wrap32", IR_MEM_WRAP32, IR_MEM_WRAP32},
    {"aligned", IR_MEM_ALIGNED, IR_MEM_ALIGNED},
    {0},
};

static const IrSubName rmw_names[] = {
    {"add", 0xff, IR_RMW_ADD},   {"and", 0xff, IR_RMW_AND},
    {"or", 0xff, IR_RMW_OR},     {"xor", 0xff, IR_RMW_XOR},
    {"xchg", 0xff, IR_RMW_XCHG}, {"smax", 0xff, IR_RMW_SMAX},
    {"smin", 0xff, IR_RMW_SMIN}, {"umax", 0xff, IR_RMW_UMAX},
    {"umin", 0xff, IR_RMW_UMIN}, {0},
};

static const IrSubName exit_names[] = {
    {"syscall", 0xff, IR_EXIT_SYSCALL},
    {"undefined", 0xff, IR_EXIT_UNDEFINED},
    {"breakpoint", 0xff, IR_EXIT_BREAKPOINT},
    {"fetch", 0xff, IR_EXIT_FETCH},
    {"pc_align", 0xff, IR_EXIT_PC_ALIGN},
    {"resync", 0xff, IR_EXIT_RESYNC},
    {"yield", 0xff, IR_EXIT_YIELD},
    {"unaligned", 0xff, IR_EXIT_UNALIGNED},
    {"invalidate", 0xff, IR_EXIT_INVALIDATE},
    {"exception", 0xff, IR_EXIT_EXCEPTION},
    {"halt", 0xff, IR_EXIT_HALT},
    {"code_changed", 0xff, IR_EXIT_CODE_CHANGED},
    {0},
};

static const IrSubName aes_names[] = {
    {"e", 0xff, IR_AESE},
    {"d", 0xff, IR_AESD},
    {"mc", 0xff, IR_AESMC},
    {"imc", 0xff, IR_AESIMC},
    {"enc", 0xff, IR_AESENC},
    {"enclast", 0xff, IR_AESENCLAST},
    {"dec", 0xff, IR_AESDEC},
    {"declast", 0xff, IR_AESDECLAST},
    {"keygenassist", 0xff, IR_AESKEYGENASSIST},
    {0},
};

static const IrSubName sha_names[] = {
    {"1c", 0xff, IR_SHA1C},
    {"1p", 0xff, IR_SHA1P},
    {"1m", 0xff, IR_SHA1M},
    {"1su0", 0xff, IR_SHA1SU0},
    {"1su1", 0xff, IR_SHA1SU1},
    {"1h", 0xff, IR_SHA1H},
    {"256h", 0xff, IR_SHA256H},
    {"256h2", 0xff, IR_SHA256H2},
    {"256su0", 0xff, IR_SHA256SU0},
    {"256su1", 0xff, IR_SHA256SU1},
    {"1rnds4", 0xff, IR_SHA1RNDS4},
    {"1nexte", 0xff, IR_SHA1NEXTE},
    {"1msg1", 0xff, IR_SHA1MSG1},
    {"1msg2", 0xff, IR_SHA1MSG2},
    {"256rnds2", 0xff, IR_SHA256RNDS2},
    {"256msg1", 0xff, IR_SHA256MSG1},
    {"256msg2", 0xff, IR_SHA256MSG2},
    {0},
};

static const IrSubName crc_names[] = {{"ieee", 0xff, 0}, {"castagnoli", 0xff, 1}, {0}};
static const IrSubName fence_names[] = {
    {"full", 0xff, 0}, {"load", 0xff, 1}, {"store", 0xff, 2}, {0}};
static const IrSubName signalling_name[] = {{"signalling", 1, 1}, {0}};
static const IrSubName odd_name[] = {{"odd", 1, 1}, {0}};
static const IrSubName alternative_name[] = {{"alternative", 1, 1}, {0}};
static const IrSubName x86_name[] = {{"x86", IR_X86, IR_X86}, {0}};
static const IrSubName poll_name[] = {{"poll", IR_POLL, IR_POLL}, {0}};

const IrSyntax ir_syntax[IR_OP_COUNT] = {
    [IR_CONST] = {FORM_CONST},
    [IR_PHI] = {FORM_PHI},
    [IR_GET] = {FORM_SLOT},
    [IR_PUT] = {FORM_SLOT},
    [IR_NOTE] = {FORM_SLOT},
    [IR_EXTR] = {.show = "i"},
    [IR_EXTU] = {.show = "si"},
    [IR_EXTS] = {.show = "si"},
    [IR_DEP] = {.show = "si"},
    [IR_CRC32] = {.sub = crc_names},
    [IR_CMP] = {.sub = cmp_names},
    [IR_FLAGS_FCMP] = {.sub = signalling_name},
    [IR_FLAGS_COMI] = {.sub = signalling_name},
    [IR_FLAGS_MUL] = {.sub = vector_names},
    [IR_FLAGS_PICK] = {.show = "i"},
    [IR_FMA] = {.sub = fma_names},
    [IR_FADD] = {.sub = scalar_name},
    [IR_FSUB] = {.sub = scalar_name},
    [IR_FMUL] = {.sub = scalar_name},
    [IR_FDIV] = {.sub = scalar_name},
    [IR_FSQRT] = {.sub = scalar_name},
    [IR_FMIN] = {.sub = minmax_names},
    [IR_FMAX] = {.sub = minmax_names},
    [IR_COND] = {.sub = cond_names},
    [IR_FCMP] = {.sub = fcmp_names},
    [IR_FROUND] = {.sub = rounding_names},
    [IR_FCVT] = {.sub = odd_name},
    [IR_FCVT16] = {.sub = alternative_name},
    [IR_FTOI] = {.sub = rounding_names, .show = "i"},
    [IR_ITOF] = {.sub = unsigned_name, .show = "i"},
    [IR_VGET] = {.show = "i"},
    [IR_VSET] = {.show = "i"},
    [IR_VSHL] = {.show = "i"},
    [IR_VSHR] = {.show = "i"},
    [IR_VSAR] = {.show = "i"},
    [IR_VSHLV] = {.sub = vector_names},
    [IR_VQSHLV] = {.sub = vector_names},
    [IR_VRSHR] = {.sub = vector_names, .show = "i"},
    [IR_VHADD] = {.sub = vector_names},
    [IR_VHSUB] = {.sub = vector_names},
    [IR_VQDMULH] = {.sub = vector_names},
    [IR_VCMP] = {.sub = cmp_names},
    [IR_VFCMP] = {.sub = fcmp_names},
    [IR_VWIDEN] = {.sub = vector_names},
    [IR_VQNARROW] = {.sub = vector_names},
    [IR_VMULL] = {.sub = vector_names},
    [IR_VMULLP] = {.sub = vector_names},
    [IR_VEXT] = {.show = "i"},
    [IR_VREV] = {.show = "i"},
    [IR_VPADDL] = {.sub = vector_names},
    [IR_VREDMIN] = {.sub = vector_names},
    [IR_VREDMAX] = {.sub = vector_names},
    [IR_VMPSAD] = {.show = "i"},
    [IR_VBLEND] = {.show = "i"},
    [IR_VMULE] = {.sub = vector_names},
    [IR_VPACK] = {.sub = vector_names},
    [IR_VCLMUL] = {.show = "i"},
    [IR_VTBL] = {.sub = x86_name},
    [IR_VSHUF] = {.show = "i"},
    [IR_VSHUF16] = {.sub = vector_names, .show = "i"},
    [IR_AES] = {.sub = aes_names, .show = "i"},
    [IR_SHA] = {.sub = sha_names, .show = "i"},
    [IR_LOAD] = {FORM_MEMORY, .sub = memory_names},
    [IR_STORE] = {FORM_MEMORY, .sub = memory_names},
    [IR_CAS] = {.sub = memory_names},
    [IR_RMW] = {.sub = memory_names, .imm = rmw_names},
    [IR_FENCE] = {.sub = fence_names},
    [IR_CALL] = {FORM_CALL},
    [IR_X87] = {FORM_X87, .sub = memory_names},
    [IR_INSN] = {.show = "is"},
    [IR_JUMP] = {FORM_BLOCKS},
    [IR_BRANCH] = {FORM_BLOCKS},
    [IR_GOTO] = {.sub = poll_name, .show = "i"},
    [IR_GOTO_CALL] = {.sub = poll_name, .show = "ij"},
    [IR_IGOTO_CALL] = {.show = "j"},
    [IR_EXIT] = {.sub = exit_names, .show = "ij"},
};
