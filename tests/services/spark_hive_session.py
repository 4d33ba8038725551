"""A folder table written, and later read again, by another version of Spark; run in a process of its own.

Takes a folder as its argument. Writes Parquet below ``parquet`` and ORC below ``orc``, prints what it reads of both,
and once a line comes in what it reads then: JSON, a list of rows as text by folder.
"""

import json
import sys

from pyspark import sql

folder = sys.argv[1]
settings = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "America/Los_Angeles",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "LEGACY",
    "spark.sql.parquet.int96RebaseModeInWrite": "LEGACY",
    "spark.sql.parquet.datetimeRebaseModeInRead": "EXCEPTION",
    "spark.sql.parquet.int96RebaseModeInRead": "EXCEPTION",
}
spark = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
spark.sparkContext.setLogLevel("OFF")
DAYS = "array(DATE '1500-02-28', DATE '1582-10-04', DATE '1890-01-01', DATE '2024-02-29')[CAST(id % 4 AS INT)]"
TIMES = "array('1500-02-28 11:22:33', '1890-01-01 00:00:00', '2024-11-03 01:30:00')[CAST(id % 3 AS INT)]"
NEW = "array('1971-02-28 11:22:33.5', '2024-11-03 01:30:00', '2024-03-10 02:30:00')[CAST(id % 3 AS INT)]"
for name, times in (("parquet", TIMES), ("orc", NEW)):
    rows = spark.sql(
        f"SELECT id, {DAYS} AS Day, CAST({times} AS TIMESTAMP) AS At, CAST(id * 1.5 AS DECIMAL(9, 2)) AS cents, "
        "CAST(id AS TINYINT) AS small, IF(id % 5 = 0, NULL, concat('ü', id % 3)) AS text, array(id, NULL) AS list, "
        "id % 2 AS k FROM range(0, 40, 1, 3)"
    )
    rows.write.partitionBy("k").format(name).save(f"{folder}/{name}")


def read() -> None:
    spark.catalog.clearCache()
    found = {}
    for name in ("parquet", "orc"):
        rows = spark.read.format(name).load(f"{folder}/{name}")
        listed = rows.selectExpr("*", "CAST(At AS STRING) AS text_of_at", "unix_micros(At) AS micros").collect()
        found[name] = sorted(repr({**row.asDict(), "At": None}) for row in listed)
    print(json.dumps(found), flush=True)


read()
sys.stdin.readline()
read()
