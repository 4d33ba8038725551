-- Questions that people put to a year of flights. `lakeopt bench demo.nyc.flights --queries` takes this file.

-- name: a carrier's June
SELECT count(*) AS flights, avg(dep_delay) AS delay FROM flights WHERE carrier = 'B6' AND month = 6;

-- name: one aircraft
SELECT month, day, origin, dest, dep_delay FROM flights WHERE tailnum = 'N725MQ' ORDER BY month, day, dep_time;

-- name: one route
SELECT carrier, count(*) AS flights, avg(arr_delay) AS delay
FROM flights WHERE origin = 'JFK' AND dest = 'LAX' GROUP BY carrier ORDER BY carrier;

-- name: the whole year
SELECT month, carrier, count(*) AS flights, avg(dep_delay) AS delay FROM flights GROUP BY ALL ORDER BY ALL;
