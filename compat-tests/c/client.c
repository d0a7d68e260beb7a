/*
 * The C client library (libzookeeper_mt) against a running server: client HOST:PORT
 *
 * One function per test, each with sessions of its own. Compiles with the library's 3.4 as well as
 * with later ones; what 3.4 lacks is left out there (HAVE_3_5).
 */
#define THREADED
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>
#include <zookeeper/zookeeper_version.h>

#if !defined(ZOO_MAJOR_VERSION) || ZOO_MAJOR_VERSION * 100 + ZOO_MINOR_VERSION >= 305
#define HAVE_3_5 1
#endif

#define WAIT_SECONDS 20
#define TIMEOUT_MS 10000
#define PATH_MAX_HERE 256
#define QUEUE 4096

static const char *server;
static char root[PATH_MAX_HERE];
static int test_failed;

/* Ends the test when the condition does not hold. */
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            printf("FAIL at line %d: %s\n", __LINE__, #condition);                         \
            test_failed = 1;                                                               \
            goto out;                                                                      \
        }                                                                                  \
    } while (0)

/* As CHECK, for calls that answer an error code. */
#define SAME(expected, call)                                                               \
    do {                                                                                   \
        int expected_ = (expected), got_ = (call);                                         \
        if (expected_ != got_) {                                                           \
            printf("FAIL at line %d: %s is %d, not %d\n", __LINE__, #call, got_, expected_); \
            test_failed = 1;                                                               \
            goto out;                                                                      \
        }                                                                                  \
    } while (0)

/* A session and what its watchers saw. */
struct client {
    zhandle_t *zh;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
    struct { int type, state; char path[PATH_MAX_HERE]; } events[QUEUE];
    int taken;
};

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct client *client = context;
    (void)zh;
    pthread_mutex_lock(&client->lock);
    if (client->count < QUEUE) {
        client->events[client->count].type = type;
        client->events[client->count].state = state;
        snprintf(client->events[client->count].path, PATH_MAX_HERE, "%s", path ? path : "");
        client->count++;
    }
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

/*
 * Takes the next event of the type (ZOO_SESSION_EVENT: with that state; others: with that path).
 * Session events in between are skipped, since a reconnect may show at any time. 0 when it came.
 */
static int expect(struct client *client, int type, int state, const char *path) {
    struct timespec end;
    int found = -1;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&client->lock);
    while (found < 0) {
        while (client->taken < client->count && found < 0) {
            int at = client->taken++;
            if (client->events[at].type == type &&
                (type == ZOO_SESSION_EVENT ? client->events[at].state == state
                                           : strcmp(client->events[at].path, path) == 0)) {
                found = 0;
            } else if (client->events[at].type != ZOO_SESSION_EVENT) {
                printf("unexpected event %d on %s\n", client->events[at].type, client->events[at].path);
                found = 1;
            }
        }
        if (found < 0 && pthread_cond_timedwait(&client->changed, &client->lock, &end) == ETIMEDOUT) {
            printf("no event %d on %s\n", type, path ? path : "the session");
            found = 2;
        }
    }
    pthread_mutex_unlock(&client->lock);
    return found;
}

static int quiet(struct client *client) {
    int left = 0, at;
    pthread_mutex_lock(&client->lock);
    for (at = client->taken; at < client->count; at++) {
        left += client->events[at].type != ZOO_SESSION_EVENT;
    }
    pthread_mutex_unlock(&client->lock);
    return left == 0;
}

static int open_as(struct client *client, const clientid_t *id, int timeout) {
    memset(client, 0, sizeof *client);
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->changed, NULL);
    client->zh = zookeeper_init(server, watcher, timeout, id, client, 0);
    if (client->zh == NULL) {
        return 1;
    }
    return expect(client, ZOO_SESSION_EVENT, ZOO_CONNECTED_STATE, NULL);
}

static int open_new(struct client *client) { return open_as(client, NULL, TIMEOUT_MS); }

static void close_client(struct client *client) {
    if (client->zh != NULL) {
        zookeeper_close(client->zh);
        client->zh = NULL;
    }
}

/* Shuts down every TCP connection of this process to the server: sessions live on. */
static void drop_connections(void) {
    unsigned short port = (unsigned short)atoi(strrchr(server, ':') + 1);
    int fd;
    for (fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == port) {
            shutdown(fd, SHUT_RDWR);
        }
    }
}

static const char *in_root(const char *name, char *path) {
    snprintf(path, PATH_MAX_HERE, "%.120s/%.120s", root, name);
    return path;
}

static int make(struct client *client, const char *path, const char *data, int flags) {
    return zoo_create(client->zh, path, data, data ? (int)strlen(data) : -1, &ZOO_OPEN_ACL_UNSAFE, flags, NULL, 0);
}

/* create, get, set, exists, delete, and the errors they give. */
static void test_nodes(void) {
    struct client a;
    struct Stat stat;
    char path[PATH_MAX_HERE], child[PATH_MAX_HERE], made[PATH_MAX_HERE], data[64];
    int length = sizeof data;
    SAME(0, open_new(&a));
    in_root("nodes", path);
    in_root("nodes/child", child);
    SAME(ZOK, zoo_create(a.zh, path, "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    SAME(0, strcmp(made, path));
    SAME(ZNODEEXISTS, make(&a, path, "x", 0));
    SAME(ZOK, zoo_get(a.zh, path, 0, data, &length, &stat));
    CHECK(length == 3 && memcmp(data, "one", 3) == 0 && stat.version == 0 && stat.czxid == stat.mzxid);
    SAME(ZOK, zoo_set2(a.zh, path, "three", 5, 0, &stat));
    CHECK(stat.version == 1 && stat.dataLength == 5 && stat.mzxid > stat.czxid);
    SAME(ZBADVERSION, zoo_set(a.zh, path, "x", 1, 0));
    SAME(ZNONODE, zoo_exists(a.zh, child, 0, &stat));
    SAME(ZNONODE, zoo_set(a.zh, child, "x", 1, -1));
    SAME(ZOK, make(&a, child, NULL, 0));
    length = sizeof data;
    SAME(ZOK, zoo_get(a.zh, child, 0, data, &length, &stat));
    SAME(-1, length); /* null data, as opposed to empty */
    SAME(ZNOTEMPTY, zoo_delete(a.zh, path, -1));
    SAME(ZBADVERSION, zoo_delete(a.zh, child, 7));
    SAME(ZOK, zoo_delete(a.zh, child, 0));
    SAME(ZOK, zoo_exists(a.zh, path, 0, &stat));
    CHECK(stat.cversion == 2 && stat.numChildren == 0 && stat.pzxid > stat.mzxid);
    SAME(ZOK, zoo_delete(a.zh, path, -1));
    SAME(ZBADARGUMENTS, make(&a, "relative", "x", 0));
    SAME(ZBADARGUMENTS, zoo_delete(a.zh, "/zookeeper", -1));
out:
    close_client(&a);
}

static void test_kinds_of_nodes(void) {
    struct client a;
    struct Stat stat;
    char path[PATH_MAX_HERE], name[PATH_MAX_HERE], made[PATH_MAX_HERE], wanted[PATH_MAX_HERE + 16];
    int number;
    SAME(0, open_new(&a));
    SAME(ZOK, make(&a, in_root("kinds", path), NULL, 0));
    for (number = 0; number < 3; number++) {
        in_root("kinds/s-", name);
        SAME(ZOK, zoo_create(a.zh, name, "", 0, &ZOO_OPEN_ACL_UNSAFE,
                             number == 2 ? ZOO_SEQUENCE | ZOO_EPHEMERAL : ZOO_SEQUENCE, made, sizeof made));
        snprintf(wanted, sizeof wanted, "%s%010d", name, number);
        SAME(0, strcmp(wanted, made));
    }
    SAME(ZOK, zoo_exists(a.zh, made, 0, &stat));
    CHECK(stat.ephemeralOwner == zoo_client_id(a.zh)->client_id);
    snprintf(wanted, sizeof wanted, "%.200s/c", made);
    SAME(ZNOCHILDRENFOREPHEMERALS, make(&a, wanted, "", 0));
#ifdef HAVE_3_5
    SAME(ZOK, zoo_create2(a.zh, in_root("kinds/two", name), "22", 2, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made, &stat));
    CHECK(stat.dataLength == 2 && stat.czxid == stat.mzxid && stat.ephemeralOwner == 0);
#endif
out:
    close_client(&a);
}

static void test_children(void) {
    struct client a;
    struct String_vector names = {0, NULL};
    struct Stat stat;
    char path[PATH_MAX_HERE], name[PATH_MAX_HERE], child[32];
    int number, seen[100] = {0};
    SAME(0, open_new(&a));
    SAME(ZOK, make(&a, in_root("children", path), NULL, 0));
    for (number = 0; number < 100; number++) {
        snprintf(child, sizeof child, "children/n%d", number);
        SAME(ZOK, make(&a, in_root(child, name), "", 0));
    }
    SAME(ZOK, zoo_get_children2(a.zh, path, 0, &names, &stat));
    CHECK(names.count == 100 && stat.numChildren == 100);
    for (number = 0; number < names.count; number++) {
        seen[atoi(names.data[number] + 1)]++;
    }
    for (number = 0; number < 100; number++) {
        SAME(1, seen[number]);
    }
    deallocate_String_vector(&names);
    SAME(ZNONODE, zoo_get_children(a.zh, in_root("children/none", name), 0, &names));
out:
    close_client(&a);
}

static void test_watches(void) {
    struct client a, b;
    struct Stat stat;
    struct String_vector names = {0, NULL};
    char path[PATH_MAX_HERE], child[PATH_MAX_HERE], data[8];
    int length = sizeof data;
    b.zh = NULL;
    SAME(0, open_new(&a));
    SAME(0, open_new(&b));
    in_root("watch", path);
    in_root("watch/child", child);
    SAME(ZNONODE, zoo_wexists(a.zh, path, watcher, &a, &stat));
    SAME(ZOK, make(&b, path, "", 0));
    SAME(0, expect(&a, ZOO_CREATED_EVENT, 0, path));
    SAME(ZOK, zoo_wget(a.zh, path, watcher, &a, data, &length, &stat));
    SAME(ZOK, zoo_set(b.zh, path, "x", 1, -1));
    SAME(0, expect(&a, ZOO_CHANGED_EVENT, 0, path));
    SAME(ZOK, zoo_set(b.zh, path, "y", 1, -1)); /* one event per watch: nothing now */
    SAME(ZOK, zoo_wget_children(a.zh, path, watcher, &a, &names));
    deallocate_String_vector(&names);
    SAME(ZOK, make(&b, child, "", 0));
    SAME(0, expect(&a, ZOO_CHILD_EVENT, 0, path));
    SAME(ZOK, zoo_wexists(a.zh, child, watcher, &a, &stat));
    SAME(ZOK, zoo_delete(b.zh, child, -1));
    SAME(0, expect(&a, ZOO_DELETED_EVENT, 0, child));
#ifdef HAVE_3_5
    length = sizeof data;
    SAME(ZOK, zoo_wget(a.zh, path, watcher, &a, data, &length, &stat));
    SAME(ZOK, zoo_remove_watches(a.zh, path, ZWATCHTYPE_DATA, watcher, &a, 0));
    SAME(ZNOWATCHER, zoo_remove_watches(a.zh, path, ZWATCHTYPE_DATA, watcher, &a, 0));
    SAME(ZOK, zoo_set(b.zh, path, "z", 1, -1));
    SAME(ZOK, zoo_exists(a.zh, path, 0, &stat));
#endif
    CHECK(quiet(&a));
out:
    close_client(&a);
    close_client(&b);
}

static void test_multi(void) {
    struct client a;
    struct Stat stat, set_stat;
    zoo_op_t ops[5];
    zoo_op_result_t results[5];
    char path[PATH_MAX_HERE], seq[PATH_MAX_HERE], gone[PATH_MAX_HERE], made[PATH_MAX_HERE], made_seq[PATH_MAX_HERE];
    SAME(0, open_new(&a));
    in_root("multi", path);
    in_root("multi/s-", seq);
    in_root("multi/none", gone);
    zoo_create_op_init(&ops[0], path, "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_create_op_init(&ops[1], seq, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, made_seq, sizeof made_seq);
    zoo_check_op_init(&ops[2], path, 0);
    zoo_set_op_init(&ops[3], path, "22", 2, 0, &set_stat);
    zoo_delete_op_init(&ops[4], path, 99);
    SAME(ZOK, zoo_multi(a.zh, 4, ops, results));
    CHECK(strcmp(made, path) == 0 && strlen(made_seq) == strlen(seq) + 10 && set_stat.version == 1);
    zoo_set_op_init(&ops[0], path, "333", 3, -1, &set_stat);
    zoo_delete_op_init(&ops[1], gone, -1);
    zoo_check_op_init(&ops[2], path, 0);
    SAME(ZNONODE, zoo_multi(a.zh, 3, ops, results));
    SAME(ZOK, results[0].err);
    SAME(ZNONODE, results[1].err);
    SAME(ZRUNTIMEINCONSISTENCY, results[2].err);
    SAME(ZOK, zoo_exists(a.zh, path, 0, &stat));
    CHECK(stat.version == 1 && stat.dataLength == 2);
out:
    close_client(&a);
}

static void test_ephemerals_and_close(void) {
    struct client a, b;
    struct Stat stat;
    char path[PATH_MAX_HERE];
    a.zh = NULL;
    SAME(0, open_new(&b));
    SAME(0, open_new(&a));
    SAME(ZOK, make(&a, in_root("ephemeral", path), "", ZOO_EPHEMERAL));
    SAME(ZOK, zoo_wexists(b.zh, path, watcher, &b, &stat));
    CHECK(stat.ephemeralOwner == zoo_client_id(a.zh)->client_id);
    close_client(&a);
    SAME(0, expect(&b, ZOO_DELETED_EVENT, 0, path));
    SAME(ZNONODE, zoo_exists(b.zh, path, 0, &stat));
out:
    close_client(&a);
    close_client(&b);
}

/* The completion of zoo_add_auth. */
struct completion {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done, rc;
};

static void complete(int rc, const void *context) {
    struct completion *completion = (struct completion *)context;
    pthread_mutex_lock(&completion->lock);
    completion->done = 1;
    completion->rc = rc;
    pthread_cond_broadcast(&completion->changed);
    pthread_mutex_unlock(&completion->lock);
}

static int add_auth(struct client *client, const char *scheme, const char *text) {
    static struct completion completion;
    struct timespec end;
    int rc;
    memset(&completion, 0, sizeof completion);
    pthread_mutex_init(&completion.lock, NULL);
    pthread_cond_init(&completion.changed, NULL);
    rc = zoo_add_auth(client->zh, scheme, text, (int)strlen(text), complete, &completion);
    if (rc != ZOK) {
        return rc;
    }
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&completion.lock);
    while (!completion.done && pthread_cond_timedwait(&completion.changed, &completion.lock, &end) != ETIMEDOUT) {
    }
    rc = completion.done ? completion.rc : ZOPERATIONTIMEOUT;
    pthread_mutex_unlock(&completion.lock);
    return rc;
}

static void test_acls(void) {
    struct client a, b;
    struct ACL_vector acl = {0, NULL};
    struct Stat stat;
    char path[PATH_MAX_HERE], other[PATH_MAX_HERE], data[8];
    int length = sizeof data;
    struct ACL bad_entry = {ZOO_PERM_ALL, {"nonsense", "x"}};
    struct ACL_vector bad = {1, &bad_entry};
    b.zh = NULL;
    SAME(0, open_new(&a));
    SAME(0, open_new(&b));
    in_root("acl", path);
    SAME(ZINVALIDACL, zoo_create(a.zh, path, "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    SAME(ZOK, add_auth(&a, "digest", "me:pw"));
    SAME(ZOK, zoo_create(a.zh, path, "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    SAME(ZINVALIDACL, zoo_create(a.zh, in_root("bad", other), "s", 1, &bad, 0, NULL, 0));
    SAME(ZNOAUTH, zoo_get(b.zh, path, 0, data, &length, &stat));
    SAME(ZNOAUTH, zoo_set(b.zh, path, "x", 1, -1));
    SAME(ZOK, zoo_get_acl(a.zh, path, &acl, &stat));
    CHECK(acl.count == 1 && strcmp(acl.data[0].id.scheme, "digest") == 0 && strncmp(acl.data[0].id.id, "me:", 3) == 0);
    deallocate_ACL_vector(&acl);
    SAME(ZBADVERSION, zoo_set_acl(a.zh, path, 5, &ZOO_OPEN_ACL_UNSAFE));
    SAME(ZOK, zoo_set_acl(a.zh, path, 0, &ZOO_OPEN_ACL_UNSAFE));
    length = sizeof data;
    SAME(ZOK, zoo_get(b.zh, path, 0, data, &length, &stat));
    CHECK(stat.aversion == 1 && length == 1);
    SAME(ZAUTHFAILED, add_auth(&b, "nonsense", "x"));
    SAME(0, expect(&b, ZOO_SESSION_EVENT, ZOO_AUTH_FAILED_STATE, NULL));
out:
    close_client(&a);
    close_client(&b);
}

/* The connection breaks: same session, ephemerals there, watches set again, missed events delivered. */
static void test_reconnect(void) {
    struct client a;
    struct Stat stat;
    struct String_vector names = {0, NULL};
    char path[PATH_MAX_HERE], absent[PATH_MAX_HERE], mine[PATH_MAX_HERE], child[PATH_MAX_HERE], data[8];
    int length = sizeof data, round;
    int64_t session;
    SAME(0, open_new(&a));
    SAME(ZOK, add_auth(&a, "digest", "me:pw"));
    session = zoo_client_id(a.zh)->client_id;
    SAME(ZOK, zoo_create(a.zh, in_root("reconnect", path), "s", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    SAME(ZOK, make(&a, in_root("reconnect-mine", mine), "", ZOO_EPHEMERAL));
    in_root("reconnect-absent", absent);
    for (round = 0; round < 2; round++) {
        SAME(ZOK, zoo_wget(a.zh, path, watcher, &a, data, &length, &stat));
        SAME(ZNONODE, zoo_wexists(a.zh, absent, watcher, &a, &stat));
        SAME(ZOK, zoo_wget_children(a.zh, path, watcher, &a, &names));
        deallocate_String_vector(&names);
        drop_connections();
        SAME(0, expect(&a, ZOO_SESSION_EVENT, ZOO_CONNECTING_STATE, NULL));
        SAME(0, expect(&a, ZOO_SESSION_EVENT, ZOO_CONNECTED_STATE, NULL));
        CHECK(zoo_client_id(a.zh)->client_id == session);
        SAME(ZOK, zoo_exists(a.zh, mine, 0, &stat));
        SAME(ZOK, zoo_set(a.zh, path, "t", 1, -1));
        SAME(0, expect(&a, ZOO_CHANGED_EVENT, 0, path));
        SAME(ZOK, make(&a, absent, "", ZOO_EPHEMERAL));
        SAME(0, expect(&a, ZOO_CREATED_EVENT, 0, absent));
        SAME(ZOK, zoo_delete(a.zh, absent, -1));
        SAME(ZOK, make(&a, in_root("reconnect/child", child), "", ZOO_EPHEMERAL));
        SAME(0, expect(&a, ZOO_CHILD_EVENT, 0, path));
        SAME(ZOK, zoo_delete(a.zh, child, -1));
        length = sizeof data;
    }
    SAME(ZOK, zoo_set_acl(a.zh, path, -1, &ZOO_OPEN_ACL_UNSAFE));
out:
    close_client(&a);
}

/* Another handle goes on with a session by its id and password; a wrong password is refused. */
static void test_reattach(void) {
    struct client a, b, c;
    struct Stat stat;
    clientid_t id, wrong;
    char path[PATH_MAX_HERE];
    b.zh = NULL;
    c.zh = NULL;
    SAME(0, open_new(&a));
    SAME(ZOK, make(&a, in_root("reattach", path), "", ZOO_EPHEMERAL));
    id = *zoo_client_id(a.zh);
#ifdef HAVE_3_5
    /* Where the first looks for a server from now on is none: it cannot take its session back. */
    SAME(ZOK, zoo_set_servers(a.zh, "127.0.0.1:1"));
    drop_connections();
    SAME(0, expect(&a, ZOO_SESSION_EVENT, ZOO_CONNECTING_STATE, NULL));
#endif
    wrong = id;
    wrong.passwd[0] ^= 1;
    memset(&b, 0, sizeof b);
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.changed, NULL);
    b.zh = zookeeper_init(server, watcher, TIMEOUT_MS, &wrong, &b, 0);
    CHECK(b.zh != NULL);
    SAME(0, expect(&b, ZOO_SESSION_EVENT, ZOO_EXPIRED_SESSION_STATE, NULL));
    close_client(&b);
    SAME(0, open_new(&c));
    SAME(ZOK, zoo_exists(c.zh, path, 0, &stat));
#ifdef HAVE_3_5
    SAME(0, open_as(&b, &id, TIMEOUT_MS));
    CHECK(zoo_client_id(b.zh)->client_id == id.client_id);
    SAME(ZOK, zoo_exists(b.zh, path, 0, &stat));
    CHECK(stat.ephemeralOwner == id.client_id);
    close_client(&b);
    SAME(ZNONODE, zoo_exists(c.zh, path, 0, &stat));
#endif
out:
    close_client(&a);
    close_client(&b);
    close_client(&c);
}

/* Replies of pipelined requests arrive in order. */
struct order {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int next, wrong;
};
static struct order order = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void answered(int rc, const struct Stat *stat, const void *context) {
    (void)stat;
    pthread_mutex_lock(&order.lock);
    if (rc != ZOK || (int)(long)context != order.next) {
        order.wrong++;
    }
    order.next++;
    pthread_cond_broadcast(&order.changed);
    pthread_mutex_unlock(&order.lock);
}

static void test_pipelining(void) {
    struct client a;
    struct Stat stat;
    struct timespec end;
    char path[PATH_MAX_HERE];
    long number;
    int late = 0;
    SAME(0, open_new(&a));
    SAME(ZOK, make(&a, in_root("pipeline", path), "", 0));
    for (number = 0; number < 2000; number++) {
        SAME(ZOK, zoo_aset(a.zh, path, "x", 1, -1, answered, (void *)number));
    }
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&order.lock);
    while (order.next < 2000 && !late) {
        late = pthread_cond_timedwait(&order.changed, &order.lock, &end) == ETIMEDOUT;
    }
    pthread_mutex_unlock(&order.lock);
    CHECK(!late && order.wrong == 0);
    SAME(ZOK, zoo_exists(a.zh, path, 0, &stat));
    SAME(2000, stat.version);
out:
    close_client(&a);
}

static void test_large_data(void) {
    struct client a;
    struct Stat stat;
    char path[PATH_MAX_HERE];
    int size = 1000000, length = size, at;
    char *data = malloc((size_t)size), *back = malloc((size_t)size);
    for (at = 0; at < size; at++) {
        data[at] = (char)(at * 31);
    }
    SAME(0, open_new(&a));
    SAME(ZOK, zoo_create(a.zh, in_root("large", path), data, size, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    SAME(ZOK, zoo_get(a.zh, path, 0, back, &length, &stat));
    CHECK(length == size && stat.dataLength == size && memcmp(data, back, (size_t)size) == 0);
out:
    close_client(&a);
    free(data);
    free(back);
}

static int delete_tree(struct client *client, const char *path) {
    struct String_vector names = {0, NULL};
    char child[2 * PATH_MAX_HERE];
    int at;
    if (zoo_get_children(client->zh, path, 0, &names) == ZOK) {
        for (at = 0; at < names.count; at++) {
            snprintf(child, sizeof child, "%s/%s", path, names.data[at]);
            delete_tree(client, child);
        }
        deallocate_String_vector(&names);
    }
    return zoo_delete(client->zh, path, -1);
}

int main(int argc, char **argv) {
    static const struct { const char *name; void (*run)(void); } tests[] = {
        {"nodes", test_nodes},
        {"kinds of nodes", test_kinds_of_nodes},
        {"children", test_children},
        {"watches", test_watches},
        {"multi", test_multi},
        {"ephemerals and close", test_ephemerals_and_close},
        {"acls", test_acls},
        {"reconnect", test_reconnect},
        {"reattach", test_reattach},
        {"pipelining", test_pipelining},
        {"large data", test_large_data},
    };
    struct client setup;
    int passed = 0, failed = 0;
    size_t at;
    if (argc != 2 || strrchr(argv[1], ':') == NULL) {
        fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
        return 2;
    }
    server = argv[1];
    zoo_set_debug_level((ZooLogLevel)0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(root, sizeof root, "/c-%ld-%ld", (long)getpid(), (long)time(NULL));
    if (open_new(&setup) != 0 || make(&setup, root, "", 0) != ZOK) {
        printf("0 passed, 1 failed\n");
        return 1;
    }
    close_client(&setup);
    for (at = 0; at < sizeof tests / sizeof tests[0]; at++) {
        struct timespec begun, ended;
        test_failed = 0;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        tests[at].run();
        clock_gettime(CLOCK_MONOTONIC, &ended);
        passed += !test_failed;
        failed += test_failed;
        printf("%s %6.2fs  %s\n", test_failed ? "FAIL" : "ok  ",
               (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9, tests[at].name);
    }
    if (open_new(&setup) != 0 || delete_tree(&setup, root) != ZOK) {
        printf("the test's nodes stay behind\n");
    }
    close_client(&setup);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
