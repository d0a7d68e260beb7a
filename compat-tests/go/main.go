// Command goclient runs the go-zookeeper/zk client against a running server:
//
//	goclient HOST:PORT
//
// It prints a line for each test and "N passed, N failed" at the end. Language and library features
// are those of Go 1.18.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	sessionTimeout = 6 * time.Second
	patience       = 20 * time.Second
)

var (
	server string
	root   string
)

// silent drops the client's log lines.
type silent struct{}

func (silent) Printf(string, ...interface{}) {}

// client is a session whose TCP connection the test can drop.
type client struct {
	*zk.Conn
	events <-chan zk.Event
	lock   sync.Mutex
	socket net.Conn
}

func open() *client {
	c := &client{}
	conn, events, err := zk.Connect([]string{server}, sessionTimeout, zk.WithLogger(silent{}),
		zk.WithDialer(func(network, address string, timeout time.Duration) (net.Conn, error) {
			socket, err := net.DialTimeout(network, address, timeout)
			c.lock.Lock()
			c.socket = socket
			c.lock.Unlock()
			return socket, err
		}))
	must(err)
	c.Conn = conn
	c.events = events
	c.state(zk.StateHasSession)
	return c
}

// state waits until the session reports the state.
func (c *client) state(wanted zk.State) {
	end := time.After(patience)
	for {
		select {
		case event := <-c.events:
			if event.Type == zk.EventSession && event.State == wanted {
				return
			}
		case <-end:
			panic(fmt.Sprintf("the session did not become %v", wanted))
		}
	}
}

// drop closes the TCP connection only; the session lives on.
func (c *client) drop() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.socket.Close()
}

func (c *client) make(path string, data string) string {
	made, err := c.Create(path, []byte(data), zk.FlagPersistent, zk.WorldACL(zk.PermAll))
	must(err)
	return made
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(condition bool, format string, args ...interface{}) {
	if !condition {
		panic(fmt.Sprintf(format, args...))
	}
}

func fails(wanted, err error) {
	check(err == wanted, "expected %v, got %v", wanted, err)
}

func expect(events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		check(event.Type == kind && event.Path == path && event.Err == nil, "expected %v %s, got %+v", kind, path, event)
	case <-time.After(patience):
		panic(fmt.Sprintf("no event %v %s", kind, path))
	}
}

func testNodes() {
	c := open()
	defer c.Close()
	path := root + "/nodes"
	check(c.make(path, "one") == path, "created elsewhere")
	_, err := c.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
	fails(zk.ErrNodeExists, err)
	data, stat, err := c.Get(path)
	must(err)
	check(string(data) == "one" && stat.Version == 0 && stat.Czxid == stat.Mzxid && stat.DataLength == 3, "%+v", stat)
	stat, err = c.Set(path, []byte("three"), 0)
	must(err)
	check(stat.Version == 1 && stat.Mzxid > stat.Czxid, "%+v", stat)
	_, err = c.Set(path, nil, 0)
	fails(zk.ErrBadVersion, err)
	there, _, err := c.Exists(path + "/none")
	check(!there && err == nil, "exists: %v %v", there, err)
	_, _, err = c.Get(path + "/none")
	fails(zk.ErrNoNode, err)
	c.make(path+"/child", "")
	fails(zk.ErrNotEmpty, c.Delete(path, -1))
	fails(zk.ErrBadVersion, c.Delete(path+"/child", 5))
	must(c.Delete(path+"/child", 0))
	_, stat, err = c.Exists(path)
	must(err)
	check(stat.Cversion == 2 && stat.NumChildren == 0 && stat.Pzxid > stat.Mzxid, "%+v", stat)
	must(c.Delete(path, 1))
	fails(zk.ErrBadArguments, c.Delete("/zookeeper", -1))
}

func testKindsOfNodes() {
	c := open()
	defer c.Close()
	path := c.make(root+"/kinds", "")
	for number, flag := range []int32{zk.FlagSequence, zk.FlagEphemeralSequential, zk.FlagSequence} {
		made, err := c.Create(path+"/s-", nil, flag, zk.WorldACL(zk.PermAll))
		must(err)
		check(made == fmt.Sprintf("%s/s-%010d", path, number), "%s", made)
	}
	made, err := c.CreateContainer(path+"/container", nil, zk.FlagContainer, zk.WorldACL(zk.PermAll))
	must(err)
	_, stat, err := c.Exists(made)
	must(err)
	check(stat.EphemeralOwner == 0, "%+v", stat)
	made, err = c.CreateTTL(path+"/ttl-", nil, zk.FlagPersistentSequentialWithTTL, zk.WorldACL(zk.PermAll), 100*time.Second)
	must(err)
	check(strings.HasPrefix(made, path+"/ttl-0000"), "%s", made)
	made, err = c.CreateTTL(path+"/brief", nil, zk.FlagTTL, zk.WorldACL(zk.PermAll), 200*time.Millisecond)
	must(err)
	there, _, events, err := c.ExistsW(made)
	must(err)
	if there {
		expect(events, zk.EventNodeDeleted, made)
	}
	made, err = c.CreateProtectedEphemeralSequential(path+"/p-", nil, zk.WorldACL(zk.PermAll))
	must(err)
	_, stat, err = c.Exists(made)
	must(err)
	check(stat.EphemeralOwner == c.SessionID(), "%+v", stat)
	_, err = c.Create(made+"/c", nil, 0, zk.WorldACL(zk.PermAll))
	fails(zk.ErrNoChildrenForEphemerals, err)
}

func testChildren() {
	c := open()
	defer c.Close()
	path := c.make(root+"/children", "")
	var wanted []string
	for number := 0; number < 100; number++ {
		name := fmt.Sprintf("n%02d", number)
		c.make(path+"/"+name, "")
		wanted = append(wanted, name)
	}
	names, stat, err := c.Children(path)
	must(err)
	sort.Strings(names)
	check(strings.Join(names, " ") == strings.Join(wanted, " ") && stat.NumChildren == 100, "%v", names)
	_, _, err = c.Children(path + "/none")
	fails(zk.ErrNoNode, err)
}

func testWatches() {
	c, other := open(), open()
	defer c.Close()
	defer other.Close()
	path := root + "/watch"
	_, _, events, err := c.ExistsW(path)
	must(err)
	other.make(path, "")
	expect(events, zk.EventNodeCreated, path)
	_, _, events, err = c.GetW(path)
	must(err)
	_, err = other.Set(path, []byte("x"), -1)
	must(err)
	expect(events, zk.EventNodeDataChanged, path)
	_, _, events, err = c.ChildrenW(path)
	must(err)
	other.make(path+"/c", "")
	expect(events, zk.EventNodeChildrenChanged, path)
	_, _, events, err = c.GetW(path + "/c")
	must(err)
	must(other.Delete(path+"/c", -1))
	expect(events, zk.EventNodeDeleted, path+"/c")
}

func testMulti() {
	c := open()
	defer c.Close()
	path := root + "/multi"
	acl := zk.WorldACL(zk.PermAll)
	results, err := c.Multi(&zk.CreateRequest{Path: path, Data: []byte("1"), Acl: acl},
		&zk.CreateRequest{Path: path + "/s-", Acl: acl, Flags: zk.FlagSequence},
		&zk.CheckVersionRequest{Path: path, Version: 0},
		&zk.SetDataRequest{Path: path, Data: []byte("2"), Version: 0})
	must(err)
	check(results[0].String == path && results[1].String == path+"/s-0000000000" && results[3].Stat.Version == 1,
		"%+v", results)
	results, err = c.Multi(&zk.SetDataRequest{Path: path, Data: []byte("3"), Version: -1},
		&zk.DeleteRequest{Path: path + "/none", Version: -1}, &zk.CheckVersionRequest{Path: path, Version: 0})
	check(err == nil || err == zk.ErrNoNode, "%v", err)
	check(len(results) == 3 && results[0].Error == nil && results[1].Error == zk.ErrNoNode && results[2].Error != nil,
		"%+v", results)
	data, _, err := c.Get(path)
	must(err)
	check(string(data) == "2", "a failed multi has changed the node")
}

func testACLs() {
	c, other := open(), open()
	defer c.Close()
	defer other.Close()
	path := root + "/acl"
	must(c.AddAuth("digest", []byte("me:pw")))
	_, err := c.Create(path, []byte("secret"), 0, zk.AuthACL(zk.PermAll))
	must(err)
	_, _, err = other.Get(path)
	fails(zk.ErrNoAuth, err)
	acl, stat, err := c.GetACL(path)
	must(err)
	check(len(acl) == 1 && acl[0] == zk.DigestACL(zk.PermAll, "me", "pw")[0] && stat.Aversion == 0, "%+v", acl)
	_, err = c.SetACL(path, zk.WorldACL(zk.PermAll), 9)
	fails(zk.ErrBadVersion, err)
	stat, err = c.SetACL(path, zk.WorldACL(zk.PermAll), 0)
	must(err)
	check(stat.Aversion == 1, "%+v", stat)
	_, _, err = other.Get(path)
	must(err)
	_, err = c.Create(path+"/bad", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "nonsense", ID: "x"}})
	fails(zk.ErrInvalidACL, err)
	bad := open()
	defer bad.Close()
	fails(zk.ErrAuthFailed, bad.AddAuth("nonsense", []byte("x")))
}

func testEphemeralsAndClose() {
	c, other := open(), open()
	defer other.Close()
	path := root + "/ephemeral"
	_, err := c.Create(path, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	must(err)
	_, _, events, err := other.ExistsW(path)
	must(err)
	c.Close()
	expect(events, zk.EventNodeDeleted, path)
}

// The TCP connection breaks: the session is the same, its ephemerals and watches are there, and what
// it missed arrives.
func testReconnect() {
	c, other := open(), open()
	defer c.Close()
	defer other.Close()
	must(c.AddAuth("digest", []byte("me:pw")))
	session := c.SessionID()
	path := root + "/reconnect"
	_, err := c.Create(path, nil, 0, zk.AuthACL(zk.PermAll))
	must(err)
	_, err = c.SetACL(path, zk.WorldACL(zk.PermAll), -1)
	must(err)
	mine := root + "/reconnect-mine"
	_, err = c.Create(mine, nil, zk.FlagEphemeral, zk.AuthACL(zk.PermAll))
	must(err)
	for round := 0; round < 2; round++ {
		_, _, data, err := c.GetW(path)
		must(err)
		_, _, children, err := c.ChildrenW(path)
		must(err)
		_, _, absent, err := c.ExistsW(path + "/absent")
		must(err)
		c.drop()
		c.state(zk.StateDisconnected)
		_, err = other.Set(path, []byte("missed"), -1)
		must(err)
		c.state(zk.StateHasSession)
		check(c.SessionID() == session, "another session")
		expect(data, zk.EventNodeDataChanged, path)
		// Set by the session's own identity, which must have been sent again.
		_, err = c.Set(mine, []byte("x"), -1)
		must(err)
		made, err := other.Create(path+"/absent", nil, 0, zk.WorldACL(zk.PermAll))
		must(err)
		expect(absent, zk.EventNodeCreated, path+"/absent")
		expect(children, zk.EventNodeChildrenChanged, path)
		must(other.Delete(made, -1))
	}
}

// A close that follows a reconnect ends the session.
func testReconnectAndClose() {
	c, other := open(), open()
	defer other.Close()
	path := root + "/reconnect-close"
	_, err := c.Create(path, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	must(err)
	session := c.SessionID()
	_, _, events, err := other.ExistsW(path)
	must(err)
	c.drop()
	c.state(zk.StateDisconnected)
	c.state(zk.StateHasSession)
	check(c.SessionID() == session, "another session")
	c.Close()
	expect(events, zk.EventNodeDeleted, path)
}

func testLock() {
	c, other := open(), open()
	defer c.Close()
	defer other.Close()
	path := root + "/lock"
	first, second := zk.NewLock(c.Conn, path, zk.WorldACL(zk.PermAll)), zk.NewLock(other.Conn, path, zk.WorldACL(zk.PermAll))
	must(first.Lock())
	taken := make(chan error)
	go func() { taken <- second.Lock() }()
	for {
		names, _, err := other.Children(path)
		must(err)
		if len(names) == 2 {
			break
		}
	}
	select {
	case <-taken:
		panic("held twice")
	default:
	}
	must(first.Unlock())
	select {
	case err := <-taken:
		must(err)
	case <-time.After(patience):
		panic("not handed over")
	}
	must(second.Unlock())
}

func testManyAtOnce() {
	c := open()
	defer c.Close()
	path := c.make(root+"/many", "")
	var group sync.WaitGroup
	errors := make(chan error, 50)
	for worker := 0; worker < 50; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := 0; number < 20; number++ {
				if _, err := c.Set(path, []byte("x"), -1); err != nil {
					errors <- err
					return
				}
			}
		}()
	}
	group.Wait()
	close(errors)
	for err := range errors {
		panic(err)
	}
	_, stat, err := c.Exists(path)
	must(err)
	check(stat.Version == 1000, "%+v", stat)
}

func testLargeDataAndSync() {
	c := open()
	defer c.Close()
	path := root + "/large"
	data := bytes.Repeat([]byte{1, 2, 3, 5}, 250_000)
	_, err := c.Create(path, data, 0, zk.WorldACL(zk.PermAll))
	must(err)
	synced, err := c.Sync(path)
	must(err)
	check(synced == path, "%s", synced)
	back, _, err := c.Get(path)
	must(err)
	check(bytes.Equal(data, back), "data differs")
	_, err = c.IncrementalReconfig([]string{"server.5=localhost:1:2;3"}, nil, -1)
	fails(zk.ErrReconfigDisabled, err)
}

func deleteTree(c *client, path string) {
	names, _, err := c.Children(path)
	must(err)
	for _, name := range names {
		deleteTree(c, path+"/"+name)
	}
	if err := c.Delete(path, -1); err != nil && err != zk.ErrNoNode {
		panic(err)
	}
}

func run(name string, test func()) (failed bool) {
	begun := time.Now()
	defer func() {
		word := "ok  "
		problem := recover()
		if problem != nil {
			word, failed = "FAIL", true
		}
		fmt.Printf("%s %6.2fs  %s\n", word, time.Since(begun).Seconds(), name)
		if problem != nil {
			fmt.Printf("%v\n%s\n", problem, debug.Stack())
		}
	}()
	test()
	return false
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: goclient HOST:PORT")
		os.Exit(2)
	}
	server = os.Args[1]
	root = fmt.Sprintf("/go-%d-%d", os.Getpid(), time.Now().Unix())
	setup := open()
	setup.make(root, "")
	tests := []struct {
		name string
		test func()
	}{
		{"nodes", testNodes},
		{"kinds of nodes", testKindsOfNodes},
		{"children", testChildren},
		{"watches", testWatches},
		{"multi", testMulti},
		{"acls", testACLs},
		{"ephemerals and close", testEphemeralsAndClose},
		{"reconnect", testReconnect},
		{"reconnect and close", testReconnectAndClose},
		{"lock", testLock},
		{"many at once", testManyAtOnce},
		{"large data, sync", testLargeDataAndSync},
	}
	passed, failed := 0, 0
	for _, each := range tests {
		if run(each.name, each.test) {
			failed++
		} else {
			passed++
		}
	}
	deleteTree(setup, root)
	setup.Close()
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
