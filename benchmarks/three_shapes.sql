-- Three shapes of queries that a team ran on Hive tables and on the Iceberg tables made of them, over the event log of
-- lakeopt/workflows/event_log.py. Both tables read the same text:
--   lakeopt migrate HIVE --to logs.events --rewrite --strategy sort --sort-by event_name,device_id,event_time
--   lakeopt bench HIVE --queries benchmarks/three_shapes.sql --against logs.events

-- name: join with two shuffles
SELECT a.country, count(*) AS events, sum(b.longest) AS longest
FROM t AS a JOIN (SELECT device_id, max(duration_ms) AS longest FROM t GROUP BY device_id) AS b
ON a.device_id = b.device_id
GROUP BY a.country
ORDER BY a.country;

-- name: filter in WHERE
SELECT count(*) AS events, count(DISTINCT user_id) AS users, max(duration_ms) AS longest
FROM t
WHERE os = 'ios' AND duration_ms > 3000;

-- name: filter on the sort key
SELECT count(*) AS events, count(DISTINCT device_id) AS devices, max(event_time) AS latest
FROM t
WHERE event_name = 'add_to_cart_006';
