/* What --version says. The number is the build's. */
#ifndef CMD_VERSION_H
#define CMD_VERSION_H

#ifndef MENURA_VERSION
#error "the build defines MENURA_VERSION"
#endif

#endif
