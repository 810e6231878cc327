/* The boards that there are; add yours to boards.c. */
#ifndef MACHINE_BOARDS_H
#define MACHINE_BOARDS_H

#include "machine/machine.h"

extern const BoardDef board_microvm;
extern const BoardDef board_pc;

#endif
