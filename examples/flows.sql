-- The table of nfacctd-postgresql.conf: a row for what one instance counted of one exporter's flows, by hosts,
-- protocol, port, origin AS and minute. All instances insert into it.
CREATE TABLE flows (
	-- which instance wrote it: what the environment variable PGAPPNAME of its nfacctd says
	instance       text      NOT NULL DEFAULT current_setting('application_name'),
	peer_ip_src    inet      NOT NULL, -- the exporter
	ip_src         inet      NOT NULL,
	ip_dst         inet      NOT NULL,
	port_dst       integer   NOT NULL,
	ip_proto       smallint  NOT NULL,
	as_dst         bigint    NOT NULL, -- by the routes that the exporter sends by BMP; 0: it sent none for ip_dst
	packets        bigint    NOT NULL,
	bytes          bigint    NOT NULL,
	flows          bigint    NOT NULL,
	stamp_inserted timestamp NOT NULL, -- the minute; in the time zone of nfacctd's host
	stamp_updated  timestamp           -- when the row was written
);

-- No primary key: around a restart two instances may write a row each of the same exporter and minute, both of which count
CREATE INDEX ON flows (stamp_inserted, peer_ip_src);
-- Nothing else does nfacctd need
GRANT INSERT ON flows TO pmacct;
