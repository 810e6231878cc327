/* Target descriptions (GDB manual, "Target Description Format") of what a guest says of itself. */
#include <stdio.h>
#include <stdlib.h>

#include "control/gdb/target.h"

static void print_feature(FILE *out, const GuestFeature *feature)
{
    fprintf(out, "<feature name=\"%s\">%s", feature->name, feature->types);
    for (u32 i = 0; i < feature->count; i++) {
        const GuestRegister *r = &feature->registers[i];
        fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>", r->name, r->bits, r->type);
    }
    fputs("</feature>", out);
}

char *gdb_description(const GuestDebug *debug)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        abort();
    }
    fprintf(out,
            "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
            "<target><architecture>%s</architecture>",
            debug->architecture);
    for (u32 i = 0; i < debug->feature_count; i++) {
        print_feature(out, &debug->features[i]);
    }
    fputs("</target>", out);
    fclose(out);
    return text;
}
