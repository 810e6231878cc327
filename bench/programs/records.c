/* Small procedures on records, arrays and short strings, the mix that systems programs of the
 * eighties were measured to have: assignments, calls with few arguments, string copies and
 * comparisons. */
#include "bench.h"

struct record {
    struct record *other;
    int kind, choice, number;
    char text[31];
};

static struct record first, second;
static int global_number, flag, one[50], two[50][50];
static char letter_1, letter_2;

__attribute__((noinline)) static int choose(int value, int *result)
{
    *result = value == 2 ? value : 3;
    switch (value) {
    case 0:
        *result = 0;
        break;
    case 1:
        *result = global_number > 100 ? 0 : 3;
        break;
    case 2:
        *result = 1;
        break;
    default:
        break;
    }
    return value == 2;
}

__attribute__((noinline)) static void add_into(int a, int b, int *result)
{
    *result = b + a + 2;
}

__attribute__((noinline)) static void fill(int *row, int (*table)[50], int at, int value)
{
    int place = at + 5;
    row[place] = value;
    row[place + 1] = row[place];
    row[place + 30] = place;
    for (int i = place; i <= place + 1; i++) {
        table[place][i] = place;
    }
    table[place][place - 1]++;
    table[place + 20][place] = row[place];
    global_number = 5;
}

__attribute__((noinline)) static int same_letter(char a, char b)
{
    char copy = a;
    if (copy != b) {
        return 0;
    }
    letter_1 = copy;
    return 1;
}

__attribute__((noinline)) static int strings_differ(const char *a, const char *b)
{
    int at = 2;
    char letter = 0;
    while (at <= 2) {
        if (!same_letter(a[at], b[at + 1])) {
            letter = 'A';
            at++;
        } else {
            at += 2;
        }
    }
    if (letter >= 'W' && letter < 'Z') {
        at = 7;
    }
    if (strcmp(a, b) > 0) {
        global_number = at + 7;
        return 1;
    }
    return 0;
}

__attribute__((noinline)) static void change(struct record *record)
{
    struct record *next = record->other;
    *next = first;
    record->number = 5;
    next->number = record->number;
    next->other = record->other;
    if (next->kind == 0) {
        next->number = 6;
        choose(record->choice, &next->choice);
        add_into(next->number, 10, &next->number);
    } else {
        *record = *next;
    }
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv), a = 0, b = 0, c = 0, kind;
    uint64_t sum = 0;
    char text_1[31], text_2[31];

    first = (struct record){&second, 0, 2, 40, "PROGRAM, SOME STRING"};
    strcpy(text_1, "PROGRAM, 1'ST STRING");
    for (int i = 1; i <= size; i++) {
        letter_1 = 'A';
        flag = letter_1 == 'A';
        letter_2 = 'B';
        a = 2;
        b = 3;
        strcpy(text_2, i & 1 ? "PROGRAM, 2'ND STRING" : "PROGRAM, 0'TH STRING");
        kind = 1;
        flag = !strings_differ(text_1, text_2);
        while (a < b) {
            c = 5 * a - b;
            add_into(a, b, &c);
            a++;
        }
        fill(one, two, a, c);
        change(&first);
        for (char letter = 'A'; letter <= letter_2; letter++) {
            if (same_letter(letter, 'C') != kind) {
                choose(0, &kind);
                strcpy(text_2, "PROGRAM, 3'RD STRING");
                b = i;
                global_number = i;
            }
        }
        b = b * a;
        a = b / (c | 1);
        b = 7 * (b - c) - a;
        sum = sum * 31 + (uint64_t)(a + b + c + flag + first.number + second.number + text_2[9]);
    }
    return bench_result(sum + (uint64_t)two[7][7]);
}
