"""Four-letter words on the client port."""

import wire
from wire import i32


def test_srvr_and_stat(zk):
    lines = zk.four_letter("srvr").splitlines()
    assert lines[0].startswith("Zookeeper version: 3.9.5-"), lines[0]
    heads = [line.split(":")[0] for line in lines[1:]]
    assert heads == ["Latency min/avg/max", "Received", "Sent", "Connections", "Outstanding", "Zxid", "Mode",
                     "Node count"], heads
    assert "Mode: standalone" in lines
    text = zk.four_letter("stat")
    assert text.splitlines()[1] == "Clients:", text


def test_ruok_and_isro(zk):
    assert zk.four_letter("ruok") == "imok"
    assert zk.four_letter("isro") == "rw"


def test_every_word_answers(zk):
    for word in ("conf", "cons", "dump", "envi", "mntr", "wchs", "dirs", "hash", "gtmk", "crst", "srst"):
        assert zk.four_letter(word), word
    for word in ("wchc", "wchp"):
        zk.four_letter(word)
    assert zk.four_letter("crst") == "Connection stats reset.\n"
    assert zk.four_letter("srst") == "Server stats reset.\n"
    assert zk.four_letter("dirs").startswith("datadir_size: ")


def test_trace_mask(zk):
    """stmk reads eight more bytes, a mask, and answers it; gtmk shows it."""
    before = int(zk.four_letter("gtmk"))
    assert int(zk.four_letter("stmk", before.to_bytes(8, "big"))) == before


def test_word_in_pieces(zk):
    conn = zk.connect()
    for letter in b"ruok":
        conn.send(bytes([letter]))
    assert conn.until_closed() == b"imok"


def test_word_with_a_newline(zk):
    """What a terminal adds after the word is ignored."""
    assert zk.four_letter("ruok", b"\n") == "imok"
    assert zk.four_letter("ruok", b"\r\nmore text that nobody reads\r\n") == "imok"


def test_telnet_close(zk):
    conn = zk.connect()
    conn.send(b"\xff\xf4\xff\xfd")
    conn.sock.shutdown(1)
    conn.until_closed()


def test_unknown_word(zk):
    """Letters that are no word are a frame length, and too long a one."""
    for word in ("abcd", "RUOK", "ruoK"):
        assert zk.four_letter(word) == ""


def test_no_words_after_the_handshake(zk):
    conn = zk.session()
    conn.send(b"ruok")
    assert conn.until_closed() == b""


def test_words_see_sessions_and_watches(zk):
    conn = zk.session()
    path = zk.node(conn, "seen", flags=1)
    conn.ok(wire.GET_DATA, wire.watch_body(path, True))
    session = f"0x{conn.session_id:x}"
    assert session in zk.four_letter("dump")
    assert path in zk.four_letter("dump")
    assert session in zk.four_letter("cons")
    assert session in zk.four_letter("wchc") and path in zk.four_letter("wchc")
    assert session in zk.four_letter("wchp") and path in zk.four_letter("wchp")
    assert "watching" in zk.four_letter("wchs")


def test_short_frame_length_is_no_word(zk):
    """Four bytes that are a small length go on to the frame, not to the words."""
    conn = zk.connect()
    conn.send(i32(45))
    conn.send(conn.connect_request())
    assert conn.connect_response()["timeout"] > 0
