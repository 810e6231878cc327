/* Four threads: atomic additions on one word, compare-and-swap loops, a mutex in turn with private
 * work, and a queue with condition variables between two of them. */
#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

enum { THREADS = 4, QUEUE = 64 };

static int size;
static _Atomic uint64_t shared, swapped;
static uint64_t locked, taken, queue[QUEUE];
static unsigned head, tail;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *work(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    for (int i = 0; i < size; i++) {
        atomic_fetch_add(&shared, (uint64_t)i);
        uint64_t old = atomic_load_explicit(&swapped, memory_order_acquire);
        while (!atomic_compare_exchange_weak(&swapped, &old, old + 3)) {
        }
        uint32_t mine = 0;
        for (int k = 0; k < 10; k++) {
            mine ^= bench_random(&seed);
        }
        if (i % 8 == 0) {
            pthread_mutex_lock(&mutex);
            locked += mine;
            pthread_mutex_unlock(&mutex);
        }
    }
    return NULL;
}

static void *produce(void *argument)
{
    for (int i = 0; i < size / 10; i++) {
        pthread_mutex_lock(&mutex);
        while (head - tail == QUEUE) {
            pthread_cond_wait(&changed, &mutex);
        }
        queue[head++ % QUEUE] = (uint64_t)i;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

static void *consume(void *argument)
{
    for (int i = 0; i < size / 10; i++) {
        pthread_mutex_lock(&mutex);
        while (head == tail) {
            pthread_cond_wait(&changed, &mutex);
        }
        taken = taken * 31 + queue[tail++ % QUEUE];
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    size = bench_size(argc, argv);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_create(&threads[0], NULL, produce, NULL);
    pthread_create(&threads[1], NULL, consume, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    return bench_result(shared + swapped + locked + taken);
}
