# Prints a C program of about 5,000 lines (another size: -v functions=N) with integer, floating-point,
# structure, string and control code of many shapes; the same program each time. It prints a checksum.

function random(limit)
{
    seed = (seed * 1103515245 + 12345) % 2147483648
    return int(seed / 65536) % limit
}

function expression(depth,    kind)
{
    if (depth == 0) {
        kind = random(4)
        return kind == 0 ? "a" : kind == 1 ? "b" : kind == 2 ? "t[" random(16) "]" : random(1000) ""
    }
    kind = random(9)
    if (kind < 5) {
        return "(" expression(depth - 1) " " substr("+-*^&|", random(6) + 1, 1) " " expression(depth - 1) ")"
    }
    if (kind == 5) {
        return "(" expression(depth - 1) (random(2) ? " << " : " >> ") random(30) ")"
    }
    if (kind == 6) {
        return "(" expression(depth - 1) " / (" expression(depth - 1) " | 1))"
    }
    if (kind == 7) {
        return "(" expression(depth - 1) " < " expression(depth - 1) " ? " expression(depth - 1) " : b)"
    }
    return "rotate(" expression(depth - 1) ", " random(31) + 1 ")"
}

function integer_function(n,    i)
{
    print "static uint32_t f" n "(uint32_t a, uint32_t b, uint32_t *t)\n{"
    for (i = 0; i < 6; i++) {
        print "    t[" random(16) "] = " expression(2) ";"
    }
    print "    for (uint32_t i = 0; i < " 3 + random(9) "; i++) {"
    print "        a += " expression(1) " ^ i;"
    print "        t[i & 15] " (random(2) ? "+=" : "^=") " a;"
    print "    }"
    print "    switch (a % 7) {"
    for (i = 0; i < 5; i++) {
        print "    case " i ":\n        b " substr("+-^|", random(4) + 1, 1) "= " expression(1) ";"
        if (random(3)) {
            print "        break;"
        }
    }
    print "    default:\n        a = " expression(2) ";\n    }"
    print "    return a + b" (n ? " + (b & 1 ? f" random(n) "(b, a >> 1, t) : 0)" : "") ";\n}\n"
}

function float_function(n)
{
    print "static double g" n "(double x, double y)\n{"
    print "    double s = 0;"
    print "    for (int i = 1; i < " 5 + random(20) "; i++) {"
    print "        s += (x * i + " random(100) ".5) / (y + i);"
    print "        x = s > " 10 + random(100) " ? x * 0.5 : x + 0." 1 + random(8) ";"
    print "    }"
    print "    return s - (float)y * " random(10) ".25;\n}\n"
}

function string_function(n)
{
    print "static int h" n "(const struct item *item, char *out)\n{"
    print "    int length = snprintf(out, 64, \"%s-%d-%x\", item->name, item->value + " random(99) \
        ", item->flags);"
    print "    for (int i = 0; i < length; i++) {"
    print "        out[i] = (char)(out[i] == '-' ? '" substr("+=:;", random(4) + 1, 1) "' : out[i]);"
    print "    }"
    print "    return strlen(out) > " random(20) " ? length : -length;\n}\n"
}

BEGIN {
    seed = 42
    functions = functions ? functions : 90
    print "#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n"
    print "struct item {\n    char name[16];\n    int value;\n    uint16_t flags;\n};\n"
    print "static uint32_t rotate(uint32_t x, int n)\n{\n    return x << n | x >> (32 - n);\n}\n"
    for (n = 0; n < functions; n++) {
        integer_function(n)
        float_function(n)
        string_function(n)
    }
    print "int main(void)\n{\n    uint32_t t[16] = {1, 2, 3}, sum = 0;\n    double x = 0;\n    char out[64];"
    print "    struct item item = {\"item\", 7, 0x1f};"
    for (n = 0; n < functions; n++) {
        print "    sum = sum * 31 + f" n "(sum, " n ", t);"
        print "    x += g" n "(sum & 15, " n + 1 ");"
        print "    item.value += h" n "(&item, out);"
        print "    sum ^= (unsigned char)out[" n % 8 "];"
    }
    print "    printf(\"%08x %.12g %d %s\\n\", sum, x, item.value, out);\n    return 0;\n}"
}
