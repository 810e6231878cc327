/* What submit.c tells the file protocol about writes it made to the descriptor itself. */
#ifndef BLOCK_FILE_H
#define BLOCK_FILE_H

#include "block/driver.h"

/* A write up to `end` was made through node->fd. */
void block_file_wrote(BlockNode *node, u64 end);

#endif
