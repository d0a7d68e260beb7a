/*
 * One C client that works on while servers come and go: endure HOSTS PATH. What it is told and what it
 * tells is in src/ensemble/foreign.rs.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { TIMEOUT_MS = 8000, EVENT_SECONDS = 10, PAUSE_US = 20000, START_SECONDS = 60 };

static char root[512], value[600], here[600];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int up, going = 1, stopped, expired, armed;
/* How often it was told to pause: each is answered, also one behind a "go" that was not seen. */
static int pauses;

static void note(int *flag, int to) {
    pthread_mutex_lock(&lock);
    *flag = to;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int look(int *flag) {
    pthread_mutex_lock(&lock);
    int is = *flag;
    pthread_mutex_unlock(&lock);
    return is;
}

/* Waits until *flag is `wanted`; 0 when it does not become so in time. */
static int await(int *flag, int wanted, int seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&lock);
    while (*flag != wanted && pthread_cond_timedwait(&changed, &lock, &until) == 0) {
    }
    int good = *flag == wanted;
    pthread_mutex_unlock(&lock);
    return good;
}

static void on_state(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)path, (void)context;
    if (type != ZOO_SESSION_EVENT) {
        return;
    }
    note(&up, state == ZOO_CONNECTED_STATE);
    if (state == ZOO_EXPIRED_SESSION_STATE) {
        note(&expired, 1);
        puts("expired");
    }
}

static void on_change(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)state, (void)path, (void)context;
    if (type == ZOO_CHANGED_EVENT) {
        puts("event");
        note(&armed, 0);
    }
}

static void *listen_to_orders(void *unused) {
    (void)unused;
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        int pause = strcmp(line, "pause\n") == 0;
        if (pause) {
            note(&pauses, look(&pauses) + 1);
        }
        note(&going, !pause);
    }
    note(&stopped, 1);
    return NULL;
}

static int step(zhandle_t *zh, int sequence) {
    char node[600], data[16];
    snprintf(node, sizeof node, "%s/n%d", root, sequence);
    int length = snprintf(data, sizeof data, "%d", sequence);
    int rc;
    if (!look(&armed)) {
        char buffer[64];
        int size = sizeof buffer;
        note(&armed, 1);
        rc = zoo_wget(zh, value, on_change, NULL, buffer, &size, NULL);
        if (rc != ZOK) {
            note(&armed, 0);
            return rc;
        }
    }
    rc = zoo_create(zh, node, data, length, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    if (rc != ZOK) {
        return rc;
    }
    printf("ok %s %d\n", node, sequence);
    if (sequence % 5 == 0) {
        rc = zoo_set(zh, value, data, length, -1);
        if (rc != ZOK) {
            return rc;
        }
        puts("set");
        if (!await(&armed, 0, EVENT_SECONDS)) {
            puts("wrong no event after a change");
        }
    }
    return ZOK;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs("usage: endure HOSTS PATH\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(root, sizeof root, "%s", argv[2]);
    snprintf(value, sizeof value, "%s/value", root);
    snprintf(here, sizeof here, "%s/here", root);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *zh = zookeeper_init(argv[1], on_state, TIMEOUT_MS, NULL, NULL, 0);
    if (zh == NULL || !await(&up, 1, START_SECONDS)) {
        fputs("not connected\n", stderr);
        return 1;
    }
    if (zoo_create(zh, root, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) != ZOK ||
        zoo_create(zh, value, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) != ZOK ||
        zoo_create(zh, here, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) != ZOK) {
        fputs("its nodes are not made\n", stderr);
        return 1;
    }
    printf("ephemeral %s %llx\nready\n", here, (unsigned long long)zoo_client_id(zh)->client_id);
    pthread_t listener;
    pthread_create(&listener, NULL, listen_to_orders, NULL);
    int answered = 0, sequence = 0;
    while (!look(&stopped) && !look(&expired)) {
        if (!look(&going)) {
            int asked = look(&pauses);
            if (asked != answered) {
                puts("idle");
            }
            answered = asked;
        } else if (look(&up)) {
            int rc = step(zh, ++sequence);
            /* What the library had not sent yet comes back as a timeout. */
            if (rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT) {
                puts("loss");
            } else if (rc != ZOK) {
                printf("wrong %s\n", zerror(rc));
            }
        }
        usleep(PAUSE_US);
    }
    if (!look(&expired)) {
        zookeeper_close(zh);
        printf("closed %s\n", here);
    }
    return 0;
}
