/* Every atomic operation of C11 in one thread: what an atomic costs without contention. */
#include <stdatomic.h>

#include "bench.h"

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    static _Atomic uint64_t words[16];
    static _Atomic uint32_t half;
    static _Atomic uint8_t byte;
    static atomic_flag flag = ATOMIC_FLAG_INIT;
    uint64_t sum = 0;
    for (int i = 0; i < size; i++) {
        _Atomic uint64_t *word = &words[i % 16];
        uint64_t old = atomic_load_explicit(word, memory_order_acquire);
        sum += atomic_compare_exchange_strong(word, &old, old + (uint64_t)i);
        sum += atomic_exchange(word, old ^ 5);
        sum ^= atomic_fetch_xor(word, (uint64_t)i);
        sum += atomic_fetch_or_explicit(word, 16, memory_order_relaxed);
        sum += atomic_fetch_add(&half, 7);
        sum += atomic_fetch_and_explicit(&byte, (uint8_t)i, memory_order_release);
        atomic_store_explicit(&byte, (uint8_t)(i * 3), memory_order_release);
        sum += atomic_flag_test_and_set(&flag);
        atomic_flag_clear(&flag);
        atomic_thread_fence(memory_order_seq_cst);
    }
    return bench_result(sum);
}
