package com.amazonaws.services.glue;

import org.apache.spark.SparkContext;
import org.apache.spark.sql.SparkSession;

/** What the service's Python library needs of the service's own context: the session. */
public class GlueContext {
    private final SparkSession session;

    public GlueContext(SparkContext context) {
        session = SparkSession.builder().getOrCreate();
    }

    public GlueContext(SparkContext context, int minPartitions, int targetPartitions) {
        this(context);
    }

    public SparkSession getSparkSession() {
        return session;
    }
}
