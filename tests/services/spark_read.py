"""Read with another version of Spark and of Iceberg's runtime than this environment has; run in a process of its own.

Takes JSON as its argument: ``jars``, ``catalog`` (folder of a SQLite catalog ``lake``), ``reads`` (name -> table or
Parquet file) and ``out``. Writes what was read to ``out/<name>`` and prints JSON: name -> how it was read.
"""

import json
import sys

from pyspark import sql

asked = json.loads(sys.argv[1])
settings = {
    "spark.jars": ",".join(asked["jars"]),
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.compression.codec": "uncompressed",
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.lake.type": "jdbc",
    "spark.sql.catalog.lake.jdbc.schema-version": "V1",
    "spark.sql.catalog.lake.uri": f"jdbc:sqlite:{asked['catalog']}/catalog.db",
    "spark.sql.catalog.lake.warehouse": f"file://{asked['catalog']}/warehouse",
}
spark = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
spark.sparkContext.setLogLevel("OFF")
found = {}
for name, source in asked["reads"].items():
    try:
        rows = spark.read.parquet(source) if source.endswith(".parquet") else spark.table(source)
        plan = rows._jdf.queryExecution().executedPlan().toString()
        rows.coalesce(1).write.parquet(f"{asked['out']}/{name}")
        found[name] = "vectorised" if "ColumnarToRow" in plan else "row by row"
    except Exception as error:
        causes = [line for line in str(error).splitlines() if line.startswith("Caused by: ")]
        found[name] = (causes or str(error).splitlines())[-1]
print(json.dumps(found))
