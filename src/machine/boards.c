/* The list of boards: see boards.h. The first is the default. */
#include "machine/boards.h"

const BoardDef *const board_defs[] = {&board_pc, &board_microvm, NULL};
