package zabkeeper.compat;

import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.jute.Record;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.MultiResponse;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.compat.ProtocolManager;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.data.StatPersisted;
import org.apache.zookeeper.proto.AddWatchRequest;
import org.apache.zookeeper.proto.AuthPacket;
import org.apache.zookeeper.proto.CheckVersionRequest;
import org.apache.zookeeper.proto.CheckWatchesRequest;
import org.apache.zookeeper.proto.ConnectRequest;
import org.apache.zookeeper.proto.ConnectResponse;
import org.apache.zookeeper.proto.Create2Response;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.CreateResponse;
import org.apache.zookeeper.proto.CreateTTLRequest;
import org.apache.zookeeper.proto.DeleteRequest;
import org.apache.zookeeper.proto.ErrorResponse;
import org.apache.zookeeper.proto.ExistsRequest;
import org.apache.zookeeper.proto.ExistsResponse;
import org.apache.zookeeper.proto.GetACLRequest;
import org.apache.zookeeper.proto.GetACLResponse;
import org.apache.zookeeper.proto.GetAllChildrenNumberRequest;
import org.apache.zookeeper.proto.GetAllChildrenNumberResponse;
import org.apache.zookeeper.proto.GetChildren2Request;
import org.apache.zookeeper.proto.GetChildren2Response;
import org.apache.zookeeper.proto.GetChildrenRequest;
import org.apache.zookeeper.proto.GetChildrenResponse;
import org.apache.zookeeper.proto.GetDataRequest;
import org.apache.zookeeper.proto.GetDataResponse;
import org.apache.zookeeper.proto.GetEphemeralsRequest;
import org.apache.zookeeper.proto.GetEphemeralsResponse;
import org.apache.zookeeper.proto.GetSASLRequest;
import org.apache.zookeeper.proto.MultiHeader;
import org.apache.zookeeper.proto.ReconfigRequest;
import org.apache.zookeeper.proto.RemoveWatchesRequest;
import org.apache.zookeeper.proto.ReplyHeader;
import org.apache.zookeeper.proto.RequestHeader;
import org.apache.zookeeper.proto.SetACLRequest;
import org.apache.zookeeper.proto.SetACLResponse;
import org.apache.zookeeper.proto.SetDataRequest;
import org.apache.zookeeper.proto.SetDataResponse;
import org.apache.zookeeper.proto.SetSASLRequest;
import org.apache.zookeeper.proto.SetSASLResponse;
import org.apache.zookeeper.proto.SetWatches;
import org.apache.zookeeper.proto.SetWatches2;
import org.apache.zookeeper.proto.SyncRequest;
import org.apache.zookeeper.proto.SyncResponse;
import org.apache.zookeeper.proto.WatcherEvent;
import org.apache.zookeeper.proto.WhoAmIResponse;

/**
 * The client protocol. Left out are the three records of getMaxChildren and setMaxChildren, which
 * no server and no client uses.
 */
final class ClientFixtures {

    private static final List<Class<? extends Record>> RECORDS = Arrays.asList(
        ACL.class, AddWatchRequest.class, AuthPacket.class, CheckVersionRequest.class,
        CheckWatchesRequest.class, ClientInfo.class, Create2Response.class, CreateRequest.class,
        CreateResponse.class, CreateTTLRequest.class, DeleteRequest.class, ErrorResponse.class,
        ExistsRequest.class, ExistsResponse.class, GetACLRequest.class, GetACLResponse.class,
        GetAllChildrenNumberRequest.class, GetAllChildrenNumberResponse.class,
        GetChildren2Request.class, GetChildren2Response.class, GetChildrenRequest.class,
        GetChildrenResponse.class, GetDataRequest.class, GetDataResponse.class,
        GetEphemeralsRequest.class, GetEphemeralsResponse.class, GetSASLRequest.class, Id.class,
        MultiHeader.class, ReconfigRequest.class, RemoveWatchesRequest.class, ReplyHeader.class,
        RequestHeader.class, SetACLRequest.class, SetACLResponse.class, SetDataRequest.class,
        SetDataResponse.class, SetSASLRequest.class, SetSASLResponse.class, SetWatches.class,
        SetWatches2.class, Stat.class, StatPersisted.class, SyncRequest.class, SyncResponse.class,
        WatcherEvent.class, WhoAmIResponse.class);

    private ClientFixtures() {
    }

    static void write(Fixtures fixtures) throws IOException {
        for (Class<? extends Record> record : RECORDS) {
            fixtures.putKinds("client", record);
        }
        connect(fixtures);
        multi(fixtures);
    }

    /** The handshake, with the readOnly byte as the records have it, and without. */
    private static void connect(Fixtures fixtures) throws IOException {
        for (Samples.Kind kind : Samples.Kind.values()) {
            if (kind == Samples.Kind.NULL_ELEMENTS || kind == Samples.Kind.UNICODE) {
                continue;
            }
            String name = Fixtures.name(kind);
            ConnectRequest request = Samples.make(ConnectRequest.class, kind);
            ConnectResponse response = Samples.make(ConnectResponse.class, kind);
            fixtures.put("client", name, request);
            fixtures.put("client", name, response);

            // As clients before 3.4 write it. Java's server must take it for one of those.
            byte[] old = Fixtures.bytes(archive -> {
                archive.writeInt(request.getProtocolVersion(), "protocolVersion");
                archive.writeLong(request.getLastZxidSeen(), "lastZxidSeen");
                archive.writeInt(request.getTimeOut(), "timeOut");
                archive.writeLong(request.getSessionId(), "sessionId");
                archive.writeBuffer(request.getPasswd(), "passwd");
            });
            ProtocolManager protocol = new ProtocolManager();
            ConnectRequest back = protocol.deserializeConnectRequest(Fixtures.archive(old));
            if (protocol.isReadonlyAvailable()) {
                throw new IllegalStateException("the readOnly byte was read, but not written");
            }
            fixtures.put("client", "ConnectRequest", name + "_without_read_only", old,
                withoutReadOnly(TextArchive.of(back, "")));
            byte[] reply =
                Fixtures.bytes(archive -> protocol.serializeConnectResponse(response, archive));
            fixtures.put("client", "ConnectResponse", name + "_without_read_only", reply,
                withoutReadOnly(TextArchive.of(response, "")));
        }
    }

    private static String withoutReadOnly(String text) {
        return text.replaceFirst("readOnly = .*\n", "readOnly = absent\n");
    }

    private static void multi(Fixtures fixtures) throws IOException {
        byte[] data = {1, 2, 3};
        List<ACL> acl = Ids.CREATOR_ALL_ACL;
        request(fixtures, "no_ops");
        request(fixtures, "one_of_each_write",
            Op.create("/a", data, acl, CreateMode.PERSISTENT_SEQUENTIAL.toFlag()),
            Op.create("/e", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
            Op.create("/c", new byte[0], acl, CreateMode.CONTAINER),
            Op.create("/t", data, acl, CreateMode.PERSISTENT_WITH_TTL, 60_000),
            Op.delete("/d", 3),
            Op.setData("/s", data, -1),
            Op.setData("/s", null, 0),
            Op.check("/v", 7));
        request(fixtures, "reads", Op.getData("/a"), Op.getChildren("/"));
        request(fixtures, "nulls", Op.delete(null, 0), Op.setData(null, null, 0));
        byte[] create2 = Fixtures.bytes(archive -> {
            new MultiHeader(15, false, -1).serialize(archive, "");
            new CreateRequest("/two", data, acl, 0).serialize(archive, "");
            new MultiHeader(-1, true, -1).serialize(archive, "");
        });
        MultiOperationRecord back = new MultiOperationRecord();
        back.deserialize(Fixtures.archive(create2), "");
        fixtures.put("client", "MultiOperationRecord", "create2", create2, TextArchive.of(back, ""));

        Stat stat = Samples.make(Stat.class, Samples.Kind.TYPICAL);
        response(fixtures, "no_results");
        response(fixtures, "one_of_each_write",
            new OpResult.CreateResult("/a0000000001"),
            new OpResult.CreateResult("/c", stat),
            new OpResult.DeleteResult(),
            new OpResult.SetDataResult(stat),
            new OpResult.CheckResult());
        response(fixtures, "reads",
            new OpResult.GetDataResult(data, stat),
            new OpResult.GetDataResult(null, stat),
            new OpResult.GetChildrenResult(Arrays.asList("a", "b")),
            new OpResult.GetChildrenResult(Collections.emptyList()),
            new OpResult.ErrorResult(Code.NONODE.intValue()));
        response(fixtures, "failed",
            new OpResult.ErrorResult(Code.OK.intValue()),
            new OpResult.ErrorResult(Code.BADVERSION.intValue()),
            new OpResult.ErrorResult(Code.RUNTIMEINCONSISTENCY.intValue()));
    }

    private static void request(Fixtures fixtures, String name, Op... ops) throws IOException {
        MultiOperationRecord record = new MultiOperationRecord(Arrays.asList(ops));
        fixtures.put("client", name, record);
    }

    private static void response(Fixtures fixtures, String name, OpResult... results)
        throws IOException {
        MultiResponse record = new MultiResponse();
        for (OpResult result : results) {
            record.add(result);
        }
        fixtures.put("client", name, record);
    }
}
