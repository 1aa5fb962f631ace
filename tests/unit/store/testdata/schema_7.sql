-- A database as schema version 7 left it: sqlite3's .dump, with the version added.
PRAGMA user_version = 7;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE events    (revision INTEGER PRIMARY KEY, subject TEXT, body TEXT,
                                         checksum INTEGER);
INSERT INTO events VALUES(2,'sandboxes/0123456789abcdef','{"message":"event number 2 of the test","tenant":"acme","time":1764000000000002,"type":"sandbox.running"}',129369593);
INSERT INTO events VALUES(3,'node','{"message":"event number 3 of the test","tenant":"acme","time":1764000000000003,"type":"sandbox.running"}',4109154119);
INSERT INTO events VALUES(4,'node','{"message":"event number 4 of the test","tenant":"acme","time":1764000000000004,"type":"sandbox.running"}',3878136087);
CREATE TABLE images    (digest     TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO images VALUES('sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{"additional_gids":[],"architecture":"arm64","cleared_setuid_bits":0,"command":[],"created_at":1764000000000005,"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","dropped_device_nodes":0,"entrypoint":["/usr/bin/python3"],"env":["PATH=/usr/bin"],"gid":1001,"names":["python:3.12","python:latest"],"os":"linux","size_bytes":123456789,"uid":1000,"working_directory":"/"}',761710735);
CREATE TABLE meta      (key        TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO meta VALUES('last_revision','4',2206965098);
INSERT INTO meta VALUES('schema_version','7',1792440588);
INSERT INTO meta VALUES('compacted_revision','1',3402076179);
CREATE TABLE overheads (key TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO overheads VALUES('image/sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/gvisor/release-1/systrap/amd64/4096','{"architecture":"amd64","buckets":[[3,0.3333333333333333],[200,7.5]],"driver":"gvisor","first_at":1764000000000004,"image_digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","image_family":"docker.io/library/python","last_at":1764000000000005,"level":"image","page_size_bytes":4096,"platform":"systrap","recent":{"at":1764000000000002,"bytes":14680064},"runtime_version":"release-1","samples":[{"at":1764000000000003,"bytes":13631488}],"usage":[0.0,0.0,0.0],"weighed_at":1764000000000001,"windows":9}',99227461);
CREATE TABLE overrides (image_digest TEXT PRIMARY KEY, body TEXT,
                                         checksum INTEGER);
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, from_table TEXT, key TEXT,
                                          body TEXT, checksum INTEGER, why TEXT,
                                          moved_at_us INTEGER);
CREATE TABLE requests  (request_id TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO requests VALUES('r-1','{"code":8,"created_at":1764000000000006,"fingerprint":"f1f2","message":"no memory left","method":"CreateSandbox","reason":"MEMORY_EXHAUSTED","subject":"sandboxes/0123456789abcdef"}',2475721055);
CREATE TABLE sandboxes (id         TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO sandboxes VALUES('0123456789abcdef','{"created_at":1764000000000002,"driver":"gvisor","exit":{"exit_code":137,"exited_at":1764000000000004,"memory_peak_bytes":7,"reason":"OOM_KILLED"},"failure":"","handle":{"data":"{\"root\":\"/run/x\"}","driver":"gvisor","version":1},"id":"0123456789abcdef","image_digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","isolation":"gvisor","isolation_reason":"the tenant is untrusted","process":{"boot_id":"b00t","pid":4711,"start_ticks":123456789},"released":false,"request_id":"r-1","resources":{"cgroup_max_bytes":310378496,"cpu_millis":1500,"overhead_bytes":41943040,"pids_max":100,"workload_bytes":268435456},"revision":42,"runtime_proof":"","spec":{"args":["echo \"hi\\n\" ''there'' é"],"auto_remove":false,"command":["/bin/sh","-c"],"cpu_millis":0,"display_name":"crawler","env":["A=1","B=two words"],"image":"docker.io/library/python:3.12","labels":{"team":"search"},"mounts":[{"destination":"/a","read_only":false,"source":"/srv/a"}],"pids_max":1024,"read_only_root":false,"stdin_open":false,"tenant":"acme","tty":false,"working_directory":"","workload_bytes":268435456},"started_at":1764000000000003,"state":"EXITED"}',3617366567);
INSERT INTO sandboxes VALUES('fedcba9876543210','{"created_at":0,"driver":"","failure":"","handle":{"data":"","driver":"","version":0},"id":"fedcba9876543210","image_digest":"","isolation":"gvisor","isolation_reason":"","process":{"boot_id":"","pid":0,"start_ticks":0},"released":false,"request_id":"","resources":{"cgroup_max_bytes":0,"cpu_millis":0,"overhead_bytes":0,"pids_max":0,"workload_bytes":0},"revision":0,"runtime_proof":"","spec":{"args":[],"auto_remove":false,"command":[],"cpu_millis":0,"display_name":"","env":[],"image":"busybox","labels":{},"mounts":[],"pids_max":1024,"read_only_root":false,"stdin_open":false,"tenant":"plain","tty":false,"working_directory":"","workload_bytes":134217728},"started_at":0,"state":"RESERVED"}',4188997783);
CREATE TABLE tenants   (name       TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO tenants VALUES('acme','{"created_at":1764000000000001,"name":"acme","trust":"trusted"}',2665926052);
INSERT INTO tenants VALUES('plain','{"created_at":1764000000000009,"name":"plain","trust":"untrusted"}',1893902281);
CREATE TABLE verdicts  (key TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
CREATE TABLE usages (tenant TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO usages VALUES('acme','{"overhead_byte_seconds":50.0,"tenant":"acme","workload_byte_seconds":100.0}',3298133500);
CREATE TABLE node_state (key TEXT PRIMARY KEY, body TEXT, checksum INTEGER);
INSERT INTO node_state VALUES('node','{"controller_generation":7,"cordon_reason":"new disks","cordoned":true,"cordoned_at":1764000000000010,"cordoned_by":"unix:root(0)"}',840806386);
CREATE TABLE network_policies (name TEXT PRIMARY KEY, body TEXT,
                                                checksum INTEGER);
INSERT INTO network_policies VALUES('web','{"created_at":1764000000000011,"name":"web","policy":{"connections_max":100,"dns":true,"egress":["api.example.com:443/tcp","[fd00::/8]:53,80-90/udp"],"egress_bytes_per_second":10485760,"ingress":["tenant"],"ingress_bytes_per_second":20971520},"updated_at":1764000000000012}',766410680);
CREATE INDEX events_by_subject ON events (subject);
COMMIT;
