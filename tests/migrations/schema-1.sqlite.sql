CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY);
CREATE TABLE clock (
            path TEXT NOT NULL PRIMARY KEY,
            bucket TEXT,
            list INTEGER UNIQUE,
            ts INTEGER NOT NULL,
            version INTEGER NOT NULL,
            live INTEGER NOT NULL,
            dead INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            watermark INTEGER NOT NULL
        );
CREATE INDEX clock_bucket ON clock (bucket);
CREATE TABLE object (
            list INTEGER NOT NULL,
            id TEXT NOT NULL,
            ts INTEGER NOT NULL,
            deleted INTEGER NOT NULL,
            body TEXT NOT NULL,
            grants TEXT NOT NULL,
            acl BLOB NOT NULL
        );
CREATE UNIQUE INDEX object_id ON object (list, id);
CREATE UNIQUE INDEX object_ts ON object (list, ts);
CREATE INDEX object_acl ON object (acl, list);
CREATE TABLE acl_entry (
            principal TEXT NOT NULL,
            permission TEXT NOT NULL,
            acl BLOB NOT NULL,
            PRIMARY KEY (principal, acl, permission)
        );
CREATE TABLE member (
            principal TEXT NOT NULL,
            list INTEGER NOT NULL,
            id TEXT NOT NULL,
            PRIMARY KEY (principal, list, id)
        );
CREATE INDEX member_group ON member (list, id);
CREATE TABLE unlinked (list INTEGER NOT NULL PRIMARY KEY);
CREATE TABLE nonce (id TEXT NOT NULL PRIMARY KEY, expires INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);
INSERT INTO clock VALUES ('/buckets', NULL, 2126348482899079011, 1795431502328, 2, 2, 0, 93, 0);
INSERT INTO clock VALUES ('/accounts', NULL, 109682862621140811, 1795431502205, 1, 1, 0, 72, 0);
INSERT INTO clock VALUES ('/credentials', NULL, 2790915096698643688, 1795431502205, 1, 1, 0, 149, 0);
INSERT INTO clock VALUES ('/accounts/bob/tokens', NULL, 990782085399421811, 1795431502205, 1, 0, 0, 0, 0);
INSERT INTO clock VALUES ('/buckets/b/collections', 'b', 194718100163877686, 1795431502324, 4, 1, 1, 98, 0);
INSERT INTO clock VALUES ('/buckets/b/groups', 'b', 513931261480484609, 1795431502236, 2, 1, 0, 80, 0);
INSERT INTO clock VALUES ('/buckets/b/collections/c/records', 'b', 3311313229168651452, 1795431502306, 27, 16, 5, 1314, 0);
INSERT INTO clock VALUES ('/buckets/b/collections/gone/records', 'b', NULL, 1795431502324, 3, 0, 0, 0, 0);
INSERT INTO clock VALUES ('/buckets/x/collections', 'x', 913688244429362059, 1795431502328, 1, 0, 0, 0, 0);
INSERT INTO clock VALUES ('/buckets/x/groups', 'x', 2372490794712592004, 1795431502328, 1, 0, 0, 0, 0);
INSERT INTO object VALUES (2790915096698643688, 'bob', 1795431502205, 0, '{"hash":"$argon2id$v=19$m=19456,t=2,p=1$NquAW+qRo/QkrfdRtzHs7g$mpFo0zDH9p+XB5J0IbGhMKJ9wjgwWMyOELNCsBLNlRg","id":"bob","last_modified":1795431502205}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (109682862621140811, 'bob', 1795431502205, 0, '{"password":"**********","n":1,"id":"bob","last_modified":1795431502205}', '{"write":["account:bob"]}', X'97a132f38b1fc0a46345af8632d81b3a');
INSERT INTO object VALUES (2126348482899079011, 'b', 1795431502220, 0, '{"t":"é😀","id":"b","last_modified":1795431502220}', '{"read":["account:bob"],"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'3b10e0d0d5f30c8067b411dedcb9c006');
INSERT INTO object VALUES (513931261480484609, 'g', 1795431502236, 0, '{"members":["account:bob","account:ann"],"id":"g","last_modified":1795431502236}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (194718100163877686, 'c', 1795431502248, 0, '{"id":"c","last_modified":1795431502248}', '{"record:create":["/buckets/b/groups/g"],"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'e0534673e2e0d432cb06f92f045e1fbd');
INSERT INTO object VALUES (3311313229168651452, 'r15', 1795431502272, 0, '{"n":15,"f":5.0,"id":"r15","last_modified":1795431502272}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r7', 1795431502264, 0, '{"n":7,"f":2.3333333333333335,"id":"r7","last_modified":1795431502264}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r6', 1795431502263, 0, '{"n":6,"f":2.0,"id":"r6","last_modified":1795431502263}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r12', 1795431502304, 1, '{"id":"r12","last_modified":1795431502304,"deleted":true}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (3311313229168651452, 'r2', 1795431502259, 0, '{"n":2,"f":0.6666666666666666,"id":"r2","last_modified":1795431502259}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r13', 1795431502270, 0, '{"n":13,"f":4.333333333333333,"id":"r13","last_modified":1795431502270}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r10', 1795431502267, 0, '{"n":10,"f":3.3333333333333335,"id":"r10","last_modified":1795431502267}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r4', 1795431502285, 1, '{"id":"r4","last_modified":1795431502285,"deleted":true}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (3311313229168651452, 'r14', 1795431502271, 0, '{"n":14,"f":4.666666666666667,"id":"r14","last_modified":1795431502271}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r3', 1795431502260, 0, '{"n":3,"f":1.0,"id":"r3","last_modified":1795431502260}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r0', 1795431502278, 1, '{"id":"r0","last_modified":1795431502278,"deleted":true}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (3311313229168651452, 'r11', 1795431502268, 0, '{"n":11,"f":3.6666666666666665,"id":"r11","last_modified":1795431502268}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r19', 1795431502276, 0, '{"n":19,"f":6.333333333333333,"id":"r19","last_modified":1795431502276}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r16', 1795431502306, 1, '{"id":"r16","last_modified":1795431502306,"deleted":true}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (3311313229168651452, 'r9', 1795431502266, 0, '{"n":9,"f":3.0,"id":"r9","last_modified":1795431502266}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r8', 1795431502295, 1, '{"id":"r8","last_modified":1795431502295,"deleted":true}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (3311313229168651452, 'r18', 1795431502275, 0, '{"n":18,"f":6.0,"id":"r18","last_modified":1795431502275}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r17', 1795431502274, 0, '{"n":17,"f":5.666666666666667,"id":"r17","last_modified":1795431502274}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r5', 1795431502262, 0, '{"n":5,"f":1.6666666666666667,"id":"r5","last_modified":1795431502262}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'r1', 1795431502258, 0, '{"n":1,"f":0.3333333333333333,"id":"r1","last_modified":1795431502258}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (3311313229168651452, 'shared', 1795431502277, 0, '{"id":"shared","last_modified":1795431502277}', '{"read":["system.Everyone"],"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'cc29db3e3baebd831ad85c03c70b36b7');
INSERT INTO object VALUES (194718100163877686, 'gone', 1795431502324, 1, '{"id":"gone","last_modified":1795431502324,"deleted":true}', '{}', X'2afb9b83f9314e5d029766197f539792');
INSERT INTO object VALUES (2165982611621765866, 'r', 1795431502320, 0, '{"n":1,"id":"r","last_modified":1795431502320}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO object VALUES (2126348482899079011, 'x', 1795431502328, 0, '{"id":"x","last_modified":1795431502328}', '{"write":["basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d"]}', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO acl_entry VALUES ('account:bob', 'write', X'97a132f38b1fc0a46345af8632d81b3a');
INSERT INTO acl_entry VALUES ('account:bob', 'read', X'3b10e0d0d5f30c8067b411dedcb9c006');
INSERT INTO acl_entry VALUES ('basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d', 'write', X'3b10e0d0d5f30c8067b411dedcb9c006');
INSERT INTO acl_entry VALUES ('basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d', 'write', X'913b0365e10a07d2be1f26486855b519');
INSERT INTO acl_entry VALUES ('/buckets/b/groups/g', 'record:create', X'e0534673e2e0d432cb06f92f045e1fbd');
INSERT INTO acl_entry VALUES ('basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d', 'write', X'e0534673e2e0d432cb06f92f045e1fbd');
INSERT INTO acl_entry VALUES ('basicauth:a0def7119e59e4adde4572926f57937a9194714409a422c2c9be0f6f043b6e5d', 'write', X'cc29db3e3baebd831ad85c03c70b36b7');
INSERT INTO acl_entry VALUES ('system.Everyone', 'read', X'cc29db3e3baebd831ad85c03c70b36b7');
INSERT INTO member VALUES ('account:ann', 513931261480484609, 'g');
INSERT INTO member VALUES ('account:bob', 513931261480484609, 'g');
INSERT INTO unlinked VALUES (2165982611621765866);
