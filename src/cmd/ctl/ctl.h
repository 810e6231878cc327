/* menura ctl NAME COMMAND: talks to a running machine. */
#ifndef CMD_CTL_CTL_H
#define CMD_CTL_CTL_H

/* Returns the exit status. */
int ctl_main(int argc, char **argv);

#endif
