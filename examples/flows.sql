-- The table for nfacctd-postgresql.conf. All instances insert into it: a row has what one instance counted of one exporter's
-- flows, by hosts, protocol, destination port, destination AS and minute.
CREATE TABLE flows (
	-- the instance that wrote the row: PGAPPNAME in the environment of its nfacctd
	instance       text      NOT NULL DEFAULT current_setting('application_name'),
	peer_ip_src    inet      NOT NULL, -- the exporter
	ip_src         inet      NOT NULL,
	ip_dst         inet      NOT NULL,
	port_dst       integer   NOT NULL,
	ip_proto       smallint  NOT NULL,
	as_dst         bigint    NOT NULL, -- from the exporter's routes by BMP; 0 if it sent none for ip_dst
	packets        bigint    NOT NULL,
	bytes          bigint    NOT NULL,
	flows          bigint    NOT NULL,
	stamp_inserted timestamp NOT NULL, -- the minute, in the time zone of nfacctd's host
	stamp_updated  timestamp           -- when the row was written
);

-- No primary key: around a restart, two instances may write a row for the same exporter and minute; both rows count.
CREATE INDEX ON flows (stamp_inserted, peer_ip_src);
-- nfacctd needs no other privilege.
GRANT INSERT ON flows TO pmacct;
