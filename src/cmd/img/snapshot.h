/* The table of snapshots, as `info` and `snapshot -l` print it. */
#ifndef CMD_IMG_SNAPSHOT_H
#define CMD_IMG_SNAPSHOT_H

#include "block/block.h"

void img_print_snapshots(const BlockSnapshot *list, int count);

#endif
