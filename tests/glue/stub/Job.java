package com.amazonaws.services.glue.util;

import java.util.Map;
import org.apache.spark.sql.SparkSession;

/** Keeps the order of the service's calls: a commit needs an init before it. */
public class Job {
    private static String name;

    public static void init(String job, SparkSession session, Map arguments) {
        name = job;
        System.err.println("GLUE JOB INIT " + job);
    }

    public static boolean isInitialized() {
        return name != null;
    }

    public static void commit() {
        if (name == null) {
            throw new IllegalStateException("commit before init");
        }
        System.err.println("GLUE JOB COMMIT " + name);
        name = null;
    }
}
